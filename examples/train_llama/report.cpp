// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "report.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <unistd.h>

namespace trainer {

namespace {
    using json = nlohmann::ordered_json;

    json to_json(const state_bytes& all, const state_bytes& maskable)
    {
        return {{"value_bytes", all.values}, {"gradient_bytes", all.gradients}, {"optimizer_bytes", all.optimizer},
            {"maskable_value_bytes", maskable.values}, {"maskable_gradient_bytes", maskable.gradients},
            {"maskable_optimizer_bytes", maskable.optimizer}};
    }
} // namespace

void write_summary(const std::string& path, const options& o, const run_report& r)
{
    json out {{"method", method_name(o)}, {"steps", r.steps}, {"interrupted", r.interrupted}};
    const auto best = std::ranges::min_element(r.held_out, {}, &std::pair<int, double>::second);
    out["final_heldout_loss"] = r.held_out.back().second;
    out["final_heldout_step"] = r.held_out.back().first; // before `steps` after an interruption
    out["best_heldout_loss"] = best->second;
    out["tokens_per_second"] = r.tokens_per_second;
    out["full_parameters"] = r.full_parameters;
    out["maskable_parameters"] = r.maskable_parameters;
    out["comm"] = o.comm == backend::mpi ? "mpi" : "threads";
    out["owner_update"] = o.owner_update;
    out["workers"] = json::array();
    for (std::size_t rank = 0; rank < r.workers.size(); ++rank) {
        const auto& w = r.workers[rank];
        json one {
            {"rank", rank}, {"held_parameters", w.held_parameters}, {"held_maskable_parameters", w.held_maskable_parameters}};
        one.update(to_json(w.all, w.maskable));
        one["activation_peak_bytes"] = w.activation_peak;
        one["exchange_buffer_bytes"] = w.exchange_buffers;
        one["bytes_sent_per_step"] = w.bytes_sent;
        one["bytes_sent_formula"] = w.bytes_sent_formula;
        out["workers"].push_back(std::move(one));
    }
    out["data_parallel"] = to_json(r.dense, r.dense_maskable);
    out["data_parallel"]["bytes_sent_formula"] = r.dense_bytes_sent;
    out["heldout_curve"] = r.held_out;

    std::ofstream file(path);
    file << out.dump(2) << '\n';
    if (!file.flush())
        sdp::detail::fail("cannot write the summary to '", path, "'");
}

trace_file::trace_file(const std::string& path)
    : path_(path)
{
    if (path_.empty())
        return;
    file_.open(path_);
    if (!file_)
        sdp::detail::fail("cannot write the trace to '", path_, "'");
}

void trace_file::write(int step, double loss)
{
    if (path_.empty())
        return;
    char line[64];
    std::snprintf(line, sizeof line, "%d %.9g\n", step, loss);
    if (!(file_ << line << std::flush)) // for who follows it
        sdp::detail::fail("cannot write the trace to '", path_, "'");
}

progress::progress(std::string method, int steps)
    : method_(std::move(method))
    , steps_(steps)
    , terminal_(isatty(STDERR_FILENO) != 0)
{
}

void progress::step(int done, double loss, double tokens_per_second)
{
    const auto now = clock::now();
    const bool last = done == steps_;
    const auto quiet = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10'000);
    if (!last && now - shown_ < quiet)
        return;
    shown_ = now;
    const double spent = std::chrono::duration<double>(now - start_).count();
    const auto left = static_cast<long>(spent / done * (steps_ - done) + 0.5);
    clear();
    std::fprintf(stderr, "%s: step %d/%d  loss %.4f  %.0f tokens/s  %ld:%02ld left%s", method_.c_str(), done, steps_, loss,
        tokens_per_second, left / 60, left % 60, terminal_ ? "" : "\n");
    std::fflush(stderr);
    dirty_ = terminal_;
}

void progress::held_out(int step, double loss)
{
    clear();
    std::fprintf(stderr, "%s: step %d/%d  held-out loss %.4f nats per byte\n", method_.c_str(), step, steps_, loss);
    dirty_ = false;
}

void progress::finish()
{
    if (dirty_)
        std::fputc('\n', stderr);
    dirty_ = false;
}

void progress::clear()
{
    if (dirty_)
        std::fputs("\r\x1b[K", stderr);
}

} // namespace trainer

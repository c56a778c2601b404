// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/run/report.hpp"
#include "common/settings/sentence.hpp"

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
    if (!r.held_out.empty()) {
        const auto best = std::ranges::min_element(r.held_out, {}, [](const auto& at) { return at.second.loss; });
        const auto& [last, final] = r.held_out.back();
        out["final_heldout_loss"] = final.loss;
        out["final_heldout_step"] = last; // before `steps` after an interruption
        out["best_heldout_loss"] = best->second.loss;
        if (final.accuracy)
            out["final_heldout_accuracy"] = *final.accuracy;
    }
    out[r.item + "_per_second"] = r.items_per_second;
    out[r.item] = r.items;
    out["full_parameters"] = r.full_parameters;
    out["maskable_parameters"] = r.maskable_parameters;
    out["comm"] = o.comm == backend::mpi ? "mpi" : o.comm == backend::nccl ? "nccl" : "threads";
    out["device"] = o.device == compute_device::cuda ? "cuda" : "cpu";
    out["precision"] = o.compute == precision::bf16 ? "bf16" : "f32";
    out["owner_update"] = o.owner_update;
    out["world"] = r.world;
    out["spectral_gap"] = r.spectral_gap;
    if (r.step_with_and_without) {
        out["step_seconds"] = r.step_with_and_without->first;
        out["step_seconds_without_exchange"] = r.step_with_and_without->second;
    }
    out["workers"] = json::array();
    for (const auto& w : r.workers) {
        json one {
            {"rank", w.rank}, {"held_parameters", w.held_parameters}, {"held_maskable_parameters", w.held_maskable_parameters}};
        one.update(to_json(w.all, w.maskable));
        one["activation_peak_bytes"] = w.activation_peak;
        one["peak_bytes"] = w.peak;
        one["gradient_bytes_at_peak"] = w.gradients_at_peak;
        one["exchange_buffer_bytes"] = w.exchange_buffers;
        one["bytes_sent_per_step"] = w.bytes_sent;
        one["bytes_sent_formula"] = w.bytes_sent_formula;
        if (o.breakdown) {
            one["computing_seconds"] = 1e-6 * static_cast<double>(w.computing);
            one["waiting_seconds"] = 1e-6 * static_cast<double>(w.waiting);
            one["exchanging_seconds"] = 1e-6 * static_cast<double>(w.exchanging);
        }
        out["workers"].push_back(std::move(one));
    }
    out["data_parallel"] = to_json(r.dense, r.dense_maskable);
    out["data_parallel"]["bytes_sent_formula"] = r.dense_bytes_sent;
    out["heldout_curve"] = json::array();
    json accuracies = json::array();
    for (const auto& [step, s] : r.held_out) {
        out["heldout_curve"].push_back({step, s.loss});
        if (s.accuracy)
            accuracies.push_back({step, *s.accuracy});
    }
    if (!accuracies.empty())
        out["heldout_accuracy_curve"] = std::move(accuracies);
    if (!r.alignments.empty()) {
        out["alignment"] = json::array();
        for (const auto& [step, a] : r.alignments)
            out["alignment"].push_back({{"step", step}, {"to_full", a.to_full}, {"pairwise", a.pairwise}, {"bias", a.bias},
                {"bias_over_masks", a.bias_over_masks}});
    }

    std::ofstream file(path);
    file << out.dump(2) << '\n';
    if (!file.flush())
        fail("cannot write the summary to '", path, "'");
}

trace_file::trace_file(const std::string& path)
    : path_(path)
{
    if (path_.empty())
        return;
    file_.open(path_);
    if (!file_)
        fail("cannot write the trace to '", path_, "'");
}

void trace_file::write(int step, double loss)
{
    if (path_.empty())
        return;
    char line[64];
    std::snprintf(line, sizeof line, "%d %.9g\n", step, loss);
    if (!(file_ << line << std::flush)) // for who follows it
        fail("cannot write the trace to '", path_, "'");
}

progress::progress(std::string method, int steps, std::string item)
    : method_(std::move(method))
    , item_(std::move(item))
    , steps_(steps)
    , terminal_(isatty(STDERR_FILENO) != 0)
{
}

void progress::step(int done, double loss, double items_per_second)
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
    std::fprintf(stderr, "%s: step %d/%d  loss %.4f  %.0f %s/s  %ld:%02ld left%s", method_.c_str(), done, steps_, loss,
        items_per_second, item_.c_str(), left / 60, left % 60, terminal_ ? "" : "\n");
    std::fflush(stderr);
    dirty_ = terminal_;
}

void progress::held_out(int step, const score& s)
{
    clear();
    std::fprintf(stderr, "%s: step %d/%d  held-out loss %.4f nats", method_.c_str(), step, steps_, s.loss);
    if (s.accuracy)
        std::fprintf(stderr, "  accuracy %.2f %%", 100 * *s.accuracy);
    std::fputc('\n', stderr);
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

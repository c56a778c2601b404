// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "llama_program.hpp"
#include "common/settings/choice.hpp"
#include "common/settings/sentence.hpp"
#include "llama_task.hpp"

namespace trainer {

namespace {
    llama_shape smaller(llama_shape s, const options& o)
    {
        switch (o.shrink) {
        case shrinking::none:
            break;
        case shrinking::neuron: {
            const auto group = s.heads / s.kv_heads;
            s.kv_heads = shrunk(s.kv_heads, o.coverage);
            s.heads = s.kv_heads * group;
            s.ffn = shrunk(s.ffn, o.coverage);
            break;
        }
        case shrinking::block:
            s.layers = shrunk(s.layers, o.coverage);
            break;
        case shrinking::pinned:
            s.layers = 0;
            break;
        }
        return s;
    }
} // namespace

void llama_program::add_options(CLI::App& app, options& o)
{
    const auto positive = CLI::Range(std::int64_t {1}, std::int64_t {1} << 31);
    const auto count = CLI::Range(std::int64_t {0}, std::int64_t {1} << 31);
    app.add_option("--data", o.data, "text to train on; its last twentieth is held out");
    app.add_option("--model", model_, "shape; the options that follow change it")
        ->check(CLI::IsMember(known_shapes()))
        ->capture_default_str();
    app.add_option("--layers", given_.layers, "transformer layers")->check(positive);
    app.add_option("--hidden", given_.hidden, "width of the residual stream")->check(positive);
    app.add_option("--heads", given_.heads, "attention heads")->check(positive);
    app.add_option("--kv-heads", given_.kv_heads, "key and value heads; by default as many as heads")->check(positive);
    app.add_option("--ffn", given_.ffn, "inner width of the feed-forward branch")->check(positive);
    app.add_option("--seq", given_.sequence, "bytes per sequence")->check(positive);
    app.add_option("--sample", o.sample, "bytes of text to generate at the end")->check(count)->capture_default_str();
}

std::shared_ptr<const task> llama_program::load(const options& o)
{
    auto s = known_shapes().at(model_);
    const auto take = [](std::int64_t& into, std::int64_t given) { into = given > 0 ? given : into; };
    take(s.layers, given_.layers);
    take(s.hidden, given_.hidden);
    take(s.heads, given_.heads);
    take(s.ffn, given_.ffn);
    take(s.sequence, given_.sequence);
    s.kv_heads = given_.kv_heads > 0 ? given_.kv_heads : s.heads;
    if (s.hidden % s.heads != 0)
        fail<usage_error>("--hidden ", s.hidden, " is not a multiple of --heads ", s.heads);
    s.head_dim = s.hidden / s.heads;
    if (s.head_dim % 2 != 0)
        fail<usage_error>("--hidden ", s.hidden, " over --heads ", s.heads, " gives heads of ", s.head_dim,
            " elements; rotary positions need an even number");
    if (s.heads % s.kv_heads != 0)
        fail<usage_error>("--heads ", s.heads, " is not a multiple of --kv-heads ", s.kv_heads);
    if (o.data.empty() && !o.memory_only)
        fail<usage_error>("--data is required");
    if (o.memory_only)
        return std::make_shared<llama_task>(o, smaller(s, o), nullptr);
    auto data = std::make_shared<text>(o.data);
    (void)shard(*data, 0, o.workers, s.sequence, o.seed);
    if (data->held_out().size() <= static_cast<std::size_t>(s.sequence))
        fail("the held-out twentieth of '", o.data, "' has ", data->held_out().size(), " bytes; a sequence of ", s.sequence,
            " needs ", s.sequence + 1);
    return std::make_shared<llama_task>(o, smaller(s, o), std::move(data));
}

} // namespace trainer

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstring>
#include <map>

namespace trainer {

namespace {
    template <class Enum>
    void add_choice(
        CLI::App& app, const std::string& flag, Enum& value, const std::map<std::string, Enum>& names, const std::string& help)
    {
        std::string initial;
        for (const auto& [name, named] : names)
            if (named == value)
                initial = name;
        app.add_option_function<std::string>(
               flag, [&value, names](const std::string& name) { value = names.at(name); }, help)
            ->check(CLI::IsMember(names))
            ->default_str(initial);
    }

    void check(const options& o)
    {
        using sdp::detail::fail;
        const auto& s = o.shape;
        if (s.hidden % s.heads != 0)
            fail<usage_error>("--hidden ", s.hidden, " is not a multiple of --heads ", s.heads);
        if (s.head_dim() % 2 != 0)
            fail<usage_error>("--hidden ", s.hidden, " over --heads ", s.heads, " gives heads of ", s.head_dim(),
                " elements; rotary positions need an even number");
        if (s.heads % s.kv_heads != 0)
            fail<usage_error>("--heads ", s.heads, " is not a multiple of --kv-heads ", s.kv_heads);
        if (!(o.coverage > 0 && o.coverage <= 1))
            fail<usage_error>("--coverage ", o.coverage, " is not in (0, 1]");
        if (!(o.learning_rate > 0) || !std::isfinite(o.learning_rate))
            fail<usage_error>("--lr ", o.learning_rate, " is not a finite number above 0");
        if (o.rescale != rescaling::none && o.partition != partition_kind::none && o.masking == masking_kind::backward)
            fail<usage_error>(
                "--rescale makes up for what is absent from the forward pass, and under --masking backward nothing is");
    }
} // namespace

options parse(int argc, char** argv)
{
    options o;
    o.shape.kv_heads = 0;
    CLI::App app("Trains a byte-level LLaMA with Subnetwork Data Parallelism, or with plain data parallelism.", "train_llama");
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast); // so that scripts can override
    const auto positive = CLI::Range(std::int64_t {1}, std::int64_t {1} << 31);
    const auto count = CLI::Range(std::int64_t {0}, std::int64_t {1} << 31);
    app.add_option("--data", o.data, "text to train on; its last twentieth is held out")->required();
    app.add_option("--workers", o.workers, "workers; by default 4 threads, or all MPI ranks")->check(CLI::Range(1, 4096));
    add_choice(app, "--comm", o.comm, {{"threads", backend::threads}, {"mpi", backend::mpi}}, "how the workers talk");
    add_choice(app, "--partition", o.partition,
        {{"none", partition_kind::none}, {"neuron", partition_kind::neuron}, {"block", partition_kind::block}},
        "what is split over the workers; none is plain data parallelism");
    add_choice(app, "--masking", o.masking, {{"forward", masking_kind::forward}, {"backward", masking_kind::backward}},
        "what a worker does not hold is absent, or only not trained");
    app.add_option("--coverage", o.coverage, "share of the workers that hold each unit")->capture_default_str();
    app.add_option("--granularity", o.granularity, "feed-forward neurons assigned together")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--layers", o.shape.layers, "transformer layers")->check(positive)->capture_default_str();
    app.add_option("--hidden", o.shape.hidden, "width of the residual stream")->check(positive)->capture_default_str();
    app.add_option("--heads", o.shape.heads, "attention heads")->check(positive)->capture_default_str();
    app.add_option("--kv-heads", o.shape.kv_heads, "key and value heads; by default as many as heads")->check(positive);
    app.add_option("--ffn", o.shape.ffn, "inner width of the feed-forward branch")->check(positive)->capture_default_str();
    app.add_option("--seq", o.shape.sequence, "bytes per sequence")->check(positive)->capture_default_str();
    app.add_option("--batch", o.batch, "sequences per worker and micro-batch")->check(positive)->capture_default_str();
    app.add_option("--accumulate", o.accumulate, "micro-batches per step")->check(positive)->capture_default_str();
    app.add_option("--steps", o.steps, "training steps")->check(positive)->capture_default_str();
    app.add_option("--warmup", o.warmup, "steps of linear warm-up, before the cosine")->check(count)->capture_default_str();
    app.add_option("--lr", o.learning_rate, "highest learning rate")->capture_default_str();
    app.add_option("--seed", o.seed, "of weights, data order, partition and sample")->capture_default_str();
    add_choice(app, "--rescale", o.rescale, {{"none", rescaling::none}, {"train", rescaling::train}, {"eval", rescaling::eval}},
        "make up for absent branches while training or when evaluating");
    add_choice(app, "--normalizer", o.normalizer, {{"holders", normalization::holders}, {"world", normalization::world}},
        "divide summed gradients by the number of holders or of workers");
    app.add_flag("--owner-update", o.owner_update, "only the owner of an element keeps its optimizer state");
    app.add_option("--eval-every", o.evaluate_every, "steps between evaluations; 0: only before and after")
        ->check(count)
        ->capture_default_str();
    app.add_option("--eval-batches", o.evaluation_batches, "held-out batches of --batch sequences")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--sample", o.sample, "bytes of text to generate at the end")->check(count)->capture_default_str();
    app.add_option("--trace", o.trace, "file for the training loss of every step");
    app.add_option("--summary", o.summary, "file for the summary, as JSON");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        throw help_request(app.help());
    } catch (const CLI::ParseError& e) {
        throw usage_error(e.what());
    }
    if (o.shape.kv_heads == 0)
        o.shape.kv_heads = o.shape.heads;
    check(o);
    return o;
}

bool asks_for_mpi(int argc, char** argv)
{
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--comm=mpi") == 0
            || (i + 1 < argc && std::strcmp(argv[i], "--comm") == 0 && std::strcmp(argv[i + 1], "mpi") == 0))
            return true;
    return false;
}

std::string method_name(const options& o)
{
    if (o.partition == partition_kind::none)
        return "dense";
    return sdp::detail::text(o.partition == partition_kind::neuron ? "neuron" : "block",
        o.masking == masking_kind::forward ? " forward" : " backward", " C=", o.coverage);
}

} // namespace trainer

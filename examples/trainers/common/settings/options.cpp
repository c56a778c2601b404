// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common/settings/options.hpp"
#include "common/model/program.hpp"
#include "common/settings/choice.hpp"
#include "common/settings/sentence.hpp"

#include <cmath>
#include <cstring>

namespace trainer {

namespace {
    void check(const options& o)
    {
        const bool split = o.partition != partition_kind::none;
        const auto probability = [](const char* flag, double p) {
            if (!(p >= 0 && p < 1))
                fail<usage_error>(flag, " ", p, " is not in [0, 1)");
        };
        const auto amount = [](const char* flag, double x) {
            if (!(x >= 0) || !std::isfinite(x))
                fail<usage_error>(flag, " ", x, " is not a finite number from 0");
        };
        if (!(o.coverage > 0 && o.coverage <= 1))
            fail<usage_error>("--coverage ", o.coverage, " is not in (0, 1]");
        if (!(o.learning_rate > 0) || !std::isfinite(o.learning_rate))
            fail<usage_error>("--lr ", o.learning_rate, " is not a finite number above 0");
        probability("--dropout", o.dropout);
        probability("--stochastic-depth", o.stochastic_depth);
        probability("--momentum", o.momentum);
        amount("--weight-decay", o.weight_decay);
        amount("--clip", o.clip);
        if (o.rescale != rescaling::none && split && o.masking == masking_kind::backward)
            fail<usage_error>(
                "--rescale makes up for what is absent from the forward pass, and under --masking backward nothing is");
        if (o.shrink != shrinking::none && split)
            fail<usage_error>("--shrink makes a smaller model for plain data parallelism; expected --partition none with it");
        if (o.balance != balancing::parameters && o.partition != partition_kind::block)
            fail<usage_error>("--balance is for dealing out whole blocks; expected --partition block with it");
        if (o.comm == backend::nccl && o.device != compute_device::cuda)
            fail<usage_error>("--comm nccl needs --device cuda");
        if (o.comm == backend::mpi && o.device == compute_device::cuda)
            fail<usage_error>("--comm mpi carries host tensors; with --device cuda expected --comm threads or nccl");
        if (o.comm == backend::nccl && !o.memory_only && (o.rendezvous.empty() || o.workers == 0))
            fail<usage_error>("--comm nccl needs --workers, --rank and --rendezvous: every worker is a process of its own");
        if (o.memory_only && o.comm == backend::mpi)
            fail<usage_error>("--memory-only is one worker without peers; expected no --comm mpi with it");
        if (o.memory_only && (!o.trace.empty() || o.sample > 0 || o.probe_every > 0))
            fail<usage_error>("--memory-only learns nothing; expected no --trace, --sample or --probe-every with it");
        if (o.rank != 0 && o.comm != backend::nccl && !o.memory_only)
            fail<usage_error>(
                "--rank ", o.rank, " says which worker this process is; expected --comm nccl or --memory-only with it");
    }
} // namespace

options parse(int argc, char** argv, program& p)
{
    options o;
    CLI::App app(p.purpose(), p.name());
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast); // so that scripts can override
    const auto positive = CLI::Range(std::int64_t {1}, std::int64_t {1} << 31);
    const auto count = CLI::Range(std::int64_t {0}, std::int64_t {1} << 31);
    p.add_options(app, o);

    app.add_option("--workers", o.workers, "workers; by default 4 threads, or all MPI ranks")->check(CLI::Range(1, 4096));
    add_choice(app, "--comm", o.comm, {{"threads", backend::threads}, {"mpi", backend::mpi}, {"nccl", backend::nccl}},
        "how the workers talk");
    add_choice(app, "--device", o.device, {{"cpu", compute_device::cpu}, {"cuda", compute_device::cuda}}, "what computes");
    add_choice(app, "--precision", o.compute, {{"f32", precision::f32}, {"bf16", precision::bf16}},
        "of products of matrices; bf16 is automatic mixed precision, with weights and gradients in f32");
    app.add_option("--threads", o.threads, "threads of each worker")->check(CLI::Range(1, 1024))->capture_default_str();

    add_choice(app, "--partition", o.partition,
        {{"none", partition_kind::none}, {"neuron", partition_kind::neuron}, {"block", partition_kind::block}},
        "what is split over the workers; none is plain data parallelism");
    add_choice(app, "--masking", o.masking, {{"forward", masking_kind::forward}, {"backward", masking_kind::backward}},
        "what a worker does not hold is absent, or only not trained");
    app.add_option("--coverage", o.coverage, "share of the workers that hold each unit")->capture_default_str();
    app.add_option("--granularity", o.granularity, "neurons assigned together")->check(positive)->capture_default_str();
    add_choice(app, "--pin", o.pin,
        {{"none", pinning::none}, {"first", pinning::first}, {"last", pinning::last}, {"ends", pinning::ends}},
        "layers that all workers hold in spite of the partition");
    add_choice(app, "--balance", o.balance,
        {{"parameters", balancing::parameters}, {"work", balancing::work}, {"none", balancing::none}},
        "what workers get as equal shares of when blocks are dealt out; none deals them out in a row");
    add_choice(app, "--rescale", o.rescale, {{"none", rescaling::none}, {"train", rescaling::train}, {"eval", rescaling::eval}},
        "make up for absent branches while training or when evaluating");
    add_choice(app, "--normalizer", o.normalizer, {{"holders", normalization::holders}, {"world", normalization::world}},
        "divide summed gradients by the number of holders or of workers");
    app.add_flag("--owner-update", o.owner_update, "only the owner of an element keeps its optimizer state");
    add_choice(app, "--wire", o.wire_format, {{"native", wire::native}, {"bf16", wire::bf16}, {"f16", wire::f16}},
        "element type of gradients on the way");

    app.add_flag("--checkpoint", o.checkpoint, "compute residual branches again in the backward pass instead of keeping them");
    app.add_option("--dropout", o.dropout, "probability of dropping an inner activation")->capture_default_str();
    app.add_option("--stochastic-depth", o.stochastic_depth, "probability of skipping a residual branch for a batch")
        ->capture_default_str();
    add_choice(app, "--shrink", o.shrink,
        {{"none", shrinking::none}, {"neuron", shrinking::neuron}, {"block", shrinking::block}, {"pinned", shrinking::pinned}},
        "train a smaller model: the share --coverage of the neurons or blocks, or only what is pinned");

    app.add_option("--batch", o.batch, "samples per worker and micro-batch")->check(positive)->capture_default_str();
    app.add_option("--accumulate", o.accumulate, "micro-batches per step")->check(positive)->capture_default_str();
    app.add_option("--steps", o.steps, "training steps")->check(positive)->capture_default_str();
    app.add_option("--warmup", o.warmup, "steps of linear warm-up, before the cosine")->check(count)->capture_default_str();
    add_choice(app, "--optimizer", o.optimizer, {{"adamw", optimizer_kind::adamw}, {"sgd", optimizer_kind::sgd}},
        "the update rule; sgd has momentum");
    app.add_option("--lr", o.learning_rate, "highest learning rate")->capture_default_str();
    app.add_option("--weight-decay", o.weight_decay, "of matrices and filters")->capture_default_str();
    app.add_option("--momentum", o.momentum, "of sgd")->capture_default_str();
    app.add_option("--clip", o.clip, "greatest global norm of a gradient; 0: any")->capture_default_str();
    app.add_option("--seed", o.seed, "of weights, data order, partition and sample")->capture_default_str();

    app.add_option("--eval-every", o.evaluate_every, "steps between evaluations; 0: only before and after")
        ->check(count)
        ->capture_default_str();
    app.add_option("--eval-batches", o.evaluation_batches, "held-out batches of --batch samples")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--probe-every", o.probe_every, "steps between measurements of how gradients align; 0: none")
        ->check(count)
        ->capture_default_str();
    app.add_flag("--breakdown", o.breakdown,
        "time computing, waiting and exchanging apart, which costs a barrier in each step; with --memory-only, time steps with "
        "and without the exchange in turn");
    app.add_flag("!--no-overlap", o.overlap, "exchange gradients only after the backward pass");
    app.add_flag("--memory-only", o.memory_only,
        "rehearse one worker without its peers on made-up data, and report its memory at the peak");
    app.add_option("--rank", o.rank, "which worker this process is, where it is only one")->check(count)->capture_default_str();
    app.add_option("--rendezvous", o.rendezvous, "file that NCCL's workers find each other by; must not exist yet");
    app.add_option("--trace", o.trace, "file for the training loss of every step");
    app.add_option("--summary", o.summary, "file for the summary, as JSON");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        throw help_request(app.help());
    } catch (const CLI::ParseError& e) {
        throw usage_error(e.what());
    }
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
    std::string out;
    if (o.partition != partition_kind::none)
        out = sentence(o.partition == partition_kind::neuron ? "neuron" : "block",
            o.masking == masking_kind::forward ? " forward" : " backward", " C=", o.coverage);
    else if (o.shrink == shrinking::pinned)
        out = "only what is pinned";
    else if (o.shrink != shrinking::none)
        out = sentence(o.coverage, o.shrink == shrinking::neuron ? " of the neurons" : " of the blocks");
    else
        out = "dense";
    if (o.owner_update)
        out += ", owner update";
    if (o.checkpoint)
        out += ", checkpoints";
    if (o.dropout > 0)
        out += sentence(", dropout ", o.dropout);
    if (o.stochastic_depth > 0)
        out += sentence(", stochastic depth ", o.stochastic_depth);
    return out;
}

} // namespace trainer

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "resnet_program.hpp"
#include "common/settings/choice.hpp"
#include "common/settings/sentence.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

namespace trainer {

namespace {
    /// Blocks of each stage: "2,2,2,2", or "2" for four stages of two.
    std::vector<std::int64_t> parse_blocks(const std::string& given)
    {
        constexpr std::size_t most = 5; // of which the last sees images of two by two pixels
        std::vector<std::int64_t> out;
        std::istringstream in(given + ",");
        for (std::string word; std::getline(in, word, ',');) {
            std::int64_t number = 0;
            const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), number);
            if (status != std::errc() || end != word.data() + word.size() || number < 1 || number > 1000)
                fail<usage_error>("--blocks ", given, ": '", word, "' is not a number of blocks from 1 to 1000");
            out.push_back(number);
        }
        if (out.size() > most)
            fail<usage_error>("--blocks ", given, " has ", out.size(), " stages; expected at most ", most);
        return out.size() == 1 ? std::vector<std::int64_t>(4, out.front()) : out;
    }

    resnet_shape smaller(resnet_shape s, const options& o)
    {
        for (auto& stage : s.stages)
            switch (o.shrink) {
            case shrinking::none:
                break;
            case shrinking::neuron:
                stage.inner = shrunk(stage.inner, o.coverage);
                break;
            case shrinking::block:
                // The first of a stage, which changes the width, always stays.
                stage.blocks = static_cast<std::int64_t>(std::ceil(static_cast<double>(stage.blocks) * o.coverage));
                break;
            case shrinking::pinned:
                stage.inner = 0;
                stage.blocks = 1;
                break;
            }
        return s;
    }
} // namespace

void resnet_program::add_options(CLI::App& app, options& o)
{
    o.optimizer = optimizer_kind::sgd;
    o.learning_rate = 0.1;
    o.weight_decay = 5e-4;
    o.clip = 0;
    o.batch = 32;
    app.add_option("--data", o.data,
        "folder with Fashion-MNIST's IDX files or CIFAR-10's binary batches; with --memory-only only told apart, and by "
        "default the latter");
    app.add_option("--width", width_, "channels of the first stage; each further one has twice as many")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
    app.add_option("--blocks", blocks_, "residual blocks of each stage, or one number for four stages")->capture_default_str();
    add_choice(app, "--bn", norms_,
        {{"batch", normalization_by::batch}, {"running", normalization_by::running},
            {"recalibrate", normalization_by::recalibrate}},
        "what batch norms go by in an evaluation: the evaluated batch, the workers' running averages, or the full model's "
        "averages over 16 batches of training data; training goes by the batch");
}

std::shared_ptr<const task> resnet_program::load(const options& o)
{
    const auto blocks = parse_blocks(blocks_);
    if (o.data.empty() && !o.memory_only)
        fail<usage_error>("--data is required");
    const auto shape = o.data.empty() ? image_shape {} : shape_of(o.data);
    const auto images = o.memory_only ? nullptr : std::make_shared<const image_collection>(read_images(o.data));
    return std::make_shared<resnet_task>(o, smaller(make_shape(width_, blocks, shape.channels, shape.side), o), norms_, images);
}

} // namespace trainer

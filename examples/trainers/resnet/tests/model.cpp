// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The model against an independent one: plain loops over pixels and channels, with the formulas of the architecture and
// none of the module's code.
#include "nets.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

namespace {

using namespace trainer_test;

/// Numbers by image, channel, row and column.
struct maps {
    std::size_t images, channels, side;
    std::vector<double> values = std::vector<double>(images * channels * side * side);

    double& operator()(std::size_t n, std::size_t c, std::size_t y, std::size_t x)
    {
        return values[((n * channels + c) * side + y) * side + x];
    }
    double operator()(std::size_t n, std::size_t c, std::size_t y, std::size_t x) const
    {
        return values[((n * channels + c) * side + y) * side + x];
    }
};

/// The network by the book, one number at a time, over weights by name.
struct naive {
    const resnet_description& d;
    const weights& full;
    weights* statistics = nullptr; ///< gone by if `fixed`, else updated
    bool fixed = false;

    [[nodiscard]] const double* weight(const std::string& name) const
    {
        return full[sdp::index_of(d.model.find(name))][0].value.data_ptr<double>();
    }
    [[nodiscard]] double* statistic(const std::string& name) const
    {
        return (*statistics)[sdp::index_of(d.statistics.find(name))][0].value.data_ptr<double>();
    }

    [[nodiscard]] maps convolution(
        const maps& in, const std::string& name, std::size_t channels, std::size_t kernel, std::size_t stride) const
    {
        const double* const w = weight(name);
        const auto margin = static_cast<std::ptrdiff_t>(kernel / 2), side = static_cast<std::ptrdiff_t>(in.side);
        maps out {in.images, channels, (in.side - 1) / stride + 1};
        for (std::size_t n = 0; n < in.images; ++n)
            for (std::size_t o = 0; o < channels; ++o)
                for (std::size_t y = 0; y < out.side; ++y)
                    for (std::size_t x = 0; x < out.side; ++x)
                        for (std::size_t i = 0; i < in.channels; ++i)
                            for (std::size_t ky = 0; ky < kernel; ++ky)
                                for (std::size_t kx = 0; kx < kernel; ++kx) {
                                    const auto row = static_cast<std::ptrdiff_t>(y * stride + ky) - margin;
                                    const auto column = static_cast<std::ptrdiff_t>(x * stride + kx) - margin;
                                    if (row >= 0 && row < side && column >= 0 && column < side)
                                        out(n, o, y, x) += w[((o * in.channels + i) * kernel + ky) * kernel + kx]
                                            * in(n, i, static_cast<std::size_t>(row), static_cast<std::size_t>(column));
                                }
        return out;
    }

    [[nodiscard]] maps norm(maps x, const std::string& name) const
    {
        const auto count = static_cast<double>(x.images * x.side * x.side);
        for (std::size_t c = 0; c < x.channels; ++c) {
            const auto each = [&](auto f) {
                for (std::size_t n = 0; n < x.images; ++n)
                    for (std::size_t i = 0; i < x.side * x.side; ++i)
                        f(x.values[(n * x.channels + c) * x.side * x.side + i]);
            };
            double mean = 0, variance = 0;
            each([&](double v) { mean += v / count; });
            each([&](double v) { variance += (v - mean) * (v - mean) / count; });
            if (fixed) {
                mean = statistic(name + ".mean")[c];
                variance = statistic(name + ".variance")[c];
            } else if (statistics != nullptr) {
                double& m = statistic(name + ".mean")[c];
                double& v = statistic(name + ".variance")[c];
                m = 0.9 * m + 0.1 * mean;
                v = 0.9 * v + 0.1 * variance * count / (count - 1);
            }
            const double scale = weight(name + ".scale")[c] / std::sqrt(variance + 1e-5), shift = weight(name + ".shift")[c];
            each([&](double& v) { v = (v - mean) * scale + shift; });
        }
        return x;
    }

    static maps relu(maps x)
    {
        for (double& v : x.values)
            v = std::max(v, 0.0);
        return x;
    }

    [[nodiscard]] std::vector<double> logits(const at::Tensor& images) const
    {
        const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
        maps x {size(images.size(0)), size(images.size(1)), size(images.size(2))};
        std::copy_n(images.data_ptr<double>(), x.values.size(), x.values.begin());
        x = relu(norm(convolution(x, "stem", size(d.shape.stages[0].channels), 3, 1), "stem_norm"));
        int number = 0;
        for (std::size_t s = 0; s < d.shape.stages.size(); ++s)
            for (std::int64_t i = 0; i < d.shape.stages[s].blocks; ++i) {
                const auto name = "block" + std::to_string(number++);
                const auto channels = size(d.shape.stages[s].channels);
                const std::size_t stride = s > 0 && i == 0 ? 2 : 1;
                auto y = convolution(x, name + ".conv1", size(d.shape.stages[s].inner), 3, stride);
                y = convolution(relu(norm(y, name + ".norm1")), name + ".conv2", channels, 3, 1);
                y = norm(y, name + ".norm2");
                if (stride == 2)
                    x = norm(convolution(x, name + ".shortcut", channels, 1, 2), name + ".shortcut_norm");
                for (std::size_t at = 0; at < y.values.size(); ++at)
                    y.values[at] += x.values[at];
                x = relu(y);
            }
        std::vector<double> out;
        for (std::size_t n = 0; n < x.images; ++n)
            for (std::size_t o = 0; o < size(d.shape.classes); ++o) {
                double sum = weight("head_shift")[o];
                for (std::size_t c = 0; c < x.channels; ++c)
                    for (std::size_t i = 0; i < x.side * x.side; ++i)
                        sum += weight("head")[o * x.channels + c] * x.values[(n * x.channels + c) * x.side * x.side + i]
                            / static_cast<double>(x.side * x.side);
                out.push_back(sum);
            }
        return out;
    }
};

double worst(const at::Tensor& got, const std::vector<double>& expected)
{
    REQUIRE(got.numel() == static_cast<std::int64_t>(expected.size()));
    const auto flat = got.detach().contiguous();
    double out = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        out = std::max(out, std::abs(flat.data_ptr<double>()[i] - expected[i]));
    return out;
}

void check_equal(const weights& got, const weights& expected)
{
    REQUIRE(got.size() == expected.size());
    for (std::size_t p = 0; p < got.size(); ++p)
        CHECK(at::allclose(got[p][0].value, expected[p][0].value, 1e-10, 1e-12));
}

weights copy(const weights& from)
{
    auto out = from;
    for (auto& parts : out)
        parts[0].value = parts[0].value.detach().clone();
    return out;
}

} // namespace

TEST_CASE("ResNet-18 has the parameters that it is known for")
{
    const auto d = describe(make_shape(64, {2, 2, 2, 2}, 3, 32));
    const auto elements = [&](const std::string& prefix) {
        sdp::index_t out = 0;
        for (const auto& p : d.model.parameters())
            out += p.name.starts_with(prefix) ? p.size() : 0;
        return out;
    };
    CHECK(d.model.size() == 11'173'962);
    CHECK(elements("stem") == 1'856);
    CHECK(elements("head") == 5'130);
    const sdp::index_t blocks[] = {73'984, 73'984, 230'144, 295'424, 919'040, 1'180'672, 3'673'088, 4'720'640};
    const sdp::index_t shortcuts[] = {0, 0, 8'448, 0, 33'280, 0, 132'096, 0};
    REQUIRE(d.model.blocks().size() == 8);
    sdp::index_t branches = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        const auto name = "block" + std::to_string(i) + ".";
        CHECK(elements(name) == blocks[i]);
        CHECK(elements(name + "shortcut") == shortcuts[i]);
        CHECK(d.model.cost(sdp::block_id(i)) == static_cast<double>(blocks[i] - shortcuts[i]));
        CHECK(d.model[sdp::group_id(i)].neurons == std::int64_t {64} << i / 2);
        branches += blocks[i] - shortcuts[i];
    }
    CHECK(d.model.maskable_size() == branches);
    CHECK_NOTHROW(d.model.validate());
    CHECK_NOTHROW(d.statistics.validate());
    CHECK(describe(make_shape(64, {2, 2, 2, 2}, 3, 32), pinning::ends).model.blocks().size() == 6);
}

TEST_CASE("blocks of few parameters compute as much as those of many")
{
    const auto d = describe(make_shape(64, {2, 2, 2, 2}, 3, 32), pinning::none, balancing::work);
    for (std::size_t i = 0; i < 8; ++i) // the first of a later stage gets half as many channels
        CHECK(d.model.cost(sdp::block_id(i)) == (i == 2 || i == 4 || i == 6 ? 56'623'104 : 75'497'472));
    CHECK(describe(make_shape(8, {1, 1, 1, 1}, 1, 28), pinning::none, balancing::work).model.cost(sdp::block_id(3))
        == 9 * 64 * (32 + 64) * 4 * 4); // sides are rounded up
}

TEST_CASE("the forward pass is the architecture's, by the batch's statistics and by given ones")
{
    const auto d = describe(tiny);
    const auto full = some_weights(d.model, 5, true);
    const auto images = some_images(tiny, 0).inputs;
    CHECK(worst(resnet(d, full, {}).logits(images), naive {d, full}.logits(images)) < 1e-10);

    auto given = some_weights(d.statistics, 6, false), expected = copy(given);
    CHECK(worst(resnet(d, full, given).logits(images), naive {d, full, &given, true}.logits(images)) < 1e-10);
    check_equal(given, expected);

    // A pass in training leaves its trace, and does not go by it.
    CHECK(worst(resnet(d, full, given, {.training = true}).logits(images), naive {d, full, &expected}.logits(images)) < 1e-10);
    check_equal(given, expected);

    // So does one that computes its branches twice.
    auto again = some_weights(d.statistics, 6, false);
    resnet(d, full, again, {.checkpoint = true, .training = true}).loss(some_images(tiny, 0)).backward();
    check_equal(again, expected);
}

TEST_CASE("collected statistics are the means over the batches")
{
    const auto d = describe(tiny);
    const auto full = some_weights(d.model, 5, false);
    auto sum = some_weights(d.statistics, 6, false);
    resnet net(d, full, sum, {.training = true});
    weights expected;
    for (int i = 0; i < 3; ++i) {
        const auto images = some_images(tiny, static_cast<std::uint64_t>(i)).inputs;
        net.collect(images, 1.0 / (i + 1));
        auto one = some_weights(d.statistics, 6, false);
        resnet(d, full, one, {.training = true}).collect(images, 1);
        if (i == 0)
            expected = one;
        else
            for (std::size_t p = 0; p < one.size(); ++p)
                expected[p][0].value += one[p][0].value;
    }
    for (auto& parts : expected)
        parts[0].value /= 3;
    check_equal(sum, expected);
}

TEST_CASE("the loss is the mean negative log-likelihood in nats, and autograd's gradient is its slope")
{
    const auto d = describe(tiny);
    auto full = some_weights(d.model, 5, true);
    const auto b = some_images(tiny, 0);
    const auto loss = [&] {
        const auto logits = naive {d, full}.logits(b.inputs);
        double out = 0;
        for (std::size_t n = 0; n < 3; ++n) {
            double total = 0;
            for (std::size_t c = 0; c < 3; ++c)
                total += std::exp(logits[3 * n + c]);
            out += (std::log(total) - logits[3 * n + static_cast<std::size_t>(b.targets.data_ptr<std::int64_t>()[n])]) / 3;
        }
        return out;
    };
    const auto got = resnet(d, full, {}, {.training = true}).loss(b);
    CHECK(got.item<double>() == doctest::Approx(loss()).epsilon(1e-10));
    got.backward();
    for (std::size_t p = 0; p < full.size(); ++p) {
        CAPTURE(d.model.parameters()[p].name);
        auto& value = full[p][0].value;
        const std::int64_t at = value.numel() / 3;
        double* const element = value.data_ptr<double>() + at;
        const double before = *element, step = 1e-6;
        *element = before + step;
        const double above = loss();
        *element = before - step;
        const double below = loss();
        *element = before;
        CHECK(value.grad().contiguous().data_ptr<double>()[at]
            == doctest::Approx((above - below) / (2 * step)).epsilon(1e-4).scale(0.01));
    }
}

TEST_CASE("a model of shortcuts alone, and one of narrower branches")
{
    auto shape = make_shape(4, {1, 1, 1}, 1, 28);
    for (auto& stage : shape.stages)
        stage.inner = 0;
    const auto d = describe(shape);
    CHECK(d.model.maskable_size() == 0);
    const auto full = some_weights(d.model, 5, false);
    CHECK(resnet(d, full, {}).logits(some_images(shape, 0).inputs).sizes() == at::IntArrayRef({3, 10}));
    shape.stages[1].inner = 3;
    CHECK(describe(shape).model.find("block1.conv2") > sdp::parameter_id(0));
}

TEST_CASE("initial weights have the stated spread")
{
    const auto d = describe(make_shape(16, {1, 1}, 3, 32));
    const auto stored = make_weights(
        d.model, [&](sdp::parameter_id id) { return initial(d, id); }, view(d.model, sdp::assignment(d.model, 1), false, 0), 1,
        at::kCPU, false);
    const auto value = [&](const char* name) { return stored[sdp::index_of(d.model.find(name))][0].value; };
    CHECK(value("block1.conv1").std().item<double>() == doctest::Approx(std::sqrt(2.0 / (32 * 9))).epsilon(0.05));
    CHECK(value("stem").std().item<double>() == doctest::Approx(std::sqrt(2.0 / (16 * 9))).epsilon(0.1));
    CHECK(value("block0.norm1.scale").eq(1).all().item<bool>());
    CHECK(value("block0.norm2.shift").eq(0).all().item<bool>());
    CHECK(value("head").std().item<double>() == doctest::Approx(0.01).epsilon(0.15));
    CHECK(initial_statistic(d, d.statistics.find("stem_norm.variance")).mean == 1);
    CHECK(initial_statistic(d, d.statistics.find("stem_norm.mean")).mean == 0);
}

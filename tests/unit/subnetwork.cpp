// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cases.hpp"

#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>
#include <sdp/subnetwork.hpp>

#include <doctest/doctest.h>

#include <array>
#include <numeric>
#include <optional>

namespace {

/// A tensor with gaps: strides of its own over storage that is larger than its elements need.
template <class T> struct strided {
    std::vector<T> storage;
    sdp::extents shape, strides;

    /// Axes in a random order of memory, with holes between rows.
    strided(const sdp::extents& extents, unit::random& r)
        : shape(extents)
        , strides(extents)
    {
        std::vector<std::size_t> order(shape.size());
        std::iota(order.begin(), order.end(), std::size_t {0});
        for (std::size_t i = order.size(); i > 1; --i)
            std::swap(order[i - 1], order[static_cast<std::size_t>(r.below(static_cast<int>(i)))]);
        sdp::index_t step = r.between(1, 3);
        for (const auto axis : order) {
            strides[axis] = step;
            step = step * shape[axis] + r.below(3);
        }
        storage.assign(static_cast<std::size_t>(step), T(-7));
    }
    T& operator[](sdp::index_t row_major)
    {
        sdp::index_t offset = 0;
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            offset += row_major % shape[axis] * strides[axis];
            row_major /= shape[axis];
        }
        return storage[static_cast<std::size_t>(offset)];
    }
    [[nodiscard]] long untouched() const { return std::count(storage.begin(), storage.end(), T(-7)); }
};

} // namespace

template <class T> struct sdp::tensor_traits<strided<T>> {
    static T* data(const strided<T>& t) { return const_cast<T*>(t.storage.data()); }
    static auto shape(const strided<T>& t) { return t.shape; }
    static auto strides(const strided<T>& t) { return t.strides; }
};

TEST_CASE("the slabs of a worker are exactly what it stores, the trained part first")
{
    int several = 0;
    for (std::uint64_t seed = 0; seed < 700; ++seed) {
        const auto s = unit::random_scene(seed);
        CAPTURE(seed);
        for (int rank = 0; rank < s.world; ++rank)
            for (const auto layout : {sdp::value_layout::whole, sdp::value_layout::split}) {
                const sdp::subnetwork mine(s.model, s.residents, rank, layout);
                REQUIRE(mine.rank() == rank);
                REQUIRE(mine.world() == s.world);
                sdp::index_t stored_elements = 0, gradient_elements = 0;
                for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
                    const auto id = sdp::parameter_id(p);
                    const auto& parameter = s.model[id];
                    std::vector<int> covered(static_cast<std::size_t>(parameter.size()), 0);
                    sdp::index_t stored = 0, trained = 0;
                    for (std::size_t i = 0; i < covered.size(); ++i) {
                        stored += unit::has(s.elements.stored[p][i], rank) ? 1 : 0;
                        trained += unit::has(s.elements.trained[p][i], rank) ? 1 : 0;
                    }
                    const auto slabs = mine.slabs(id);
                    REQUIRE(mine.stores(id) == (stored > 0));
                    REQUIRE(mine.trains(id) == (trained > 0));
                    REQUIRE(slabs.empty() == (stored == 0));
                    for (std::size_t n = 0; n < slabs.size(); ++n) {
                        const auto& slab = slabs[n];
                        REQUIRE(slab.parameter == id);
                        REQUIRE(slab.full_shape == parameter.shape);
                        REQUIRE(slab.trained == (n == 0 && trained > 0));
                        const auto elements = unit::elements_of(slab, parameter.shape);
                        REQUIRE(slab.size() == static_cast<sdp::index_t>(elements.size()));
                        REQUIRE(slab.size() > 0);
                        for (const auto i : elements)
                            ++covered[static_cast<std::size_t>(i)];
                        for (std::size_t axis = 0; axis < slab.shape.size(); ++axis) {
                            sdp::index_t at = 0;
                            for (sdp::index_t full = 0; full < parameter.shape[axis]; ++full) {
                                const bool selected = std::any_of(slab.axes[axis].begin(), slab.axes[axis].end(),
                                    [&](const auto& i) { return i.begin <= full && full < i.end; });
                                REQUIRE(slab.local(axis, full) == (selected ? at : -1));
                                at += selected ? 1 : 0;
                            }
                            REQUIRE(at == slab.shape[axis]);
                        }
                        if (layout == sdp::value_layout::split && trained > 0)
                            for (const auto i : elements)
                                REQUIRE(unit::has(s.elements.trained[p][static_cast<std::size_t>(i)], rank) == (n == 0));
                    }
                    for (std::size_t i = 0; i < covered.size(); ++i)
                        REQUIRE(covered[i] == (unit::has(s.elements.stored[p][i], rank) ? 1 : 0));
                    if (layout == sdp::value_layout::whole)
                        REQUIRE(slabs.size() <= 1);
                    several += slabs.size() > 2 ? 1 : 0;
                    if (stored > 0)
                        REQUIRE(mine.shape(id) == slabs[0].shape);
                    else
                        REQUIRE(unit::flaw([&] { (void)mine.shape(id); },
                                    {"'" + parameter.name + "'", "rank " + std::to_string(rank), "nothing of it is stored"})
                            == "");
                    stored_elements += stored;
                    // Split, what is trained here and nothing else; whole, all of a parameter that is trained in part.
                    gradient_elements += layout == sdp::value_layout::split || trained == 0 ? trained : stored;
                }
                REQUIRE(mine.stored_elements() == stored_elements);
                REQUIRE(mine.gradient_elements() == gradient_elements);
            }
    }
    CHECK(several > 20); // two axes that are trained in part
}

TEST_CASE("neurons and blocks of a worker are those of its units")
{
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        const auto s = unit::random_scene(seed);
        for (int rank = 0; rank < s.world; ++rank) {
            const sdp::subnetwork mine(s.model, s.residents, rank);
            for (std::size_t g = 0; g < s.model.groups().size(); ++g) {
                const auto id = sdp::group_id(g);
                const auto check = [&](std::span<const sdp::interval> found, auto holds) {
                    std::vector<bool> in(static_cast<std::size_t>(s.model[id].neurons), false);
                    for (std::size_t i = 0; i < found.size(); ++i) {
                        if (i > 0)
                            REQUIRE(found[i - 1].end < found[i].begin); // maximal
                        for (auto n = found[i].begin; n < found[i].end; ++n)
                            in[static_cast<std::size_t>(n)] = true;
                    }
                    for (const auto& u : s.holders.units(id))
                        for (auto n = u.begin; n < u.end; ++n)
                            REQUIRE(in[static_cast<std::size_t>(n)] == holds(unit::mask_of(s.holders.holders(u))));
                };
                check(mine.neurons(id), [&](unit::mask h) { return unit::has(s.regime.stored(h, s.world), rank); });
                check(mine.trained_neurons(id), [&](unit::mask h) { return unit::has(s.regime.trained(h, s.world), rank); });
            }
            for (std::size_t b = 0; b < s.model.blocks().size(); ++b) {
                const auto id = sdp::block_id(b);
                const auto h = unit::mask_of(s.holders.holders(id));
                REQUIRE(mine.stores(id) == unit::has(s.regime.stored(h, s.world), rank));
                REQUIRE(mine.trains(id) == unit::has(s.regime.trained(h, s.world), rank));
            }
        }
    }
}

TEST_CASE("slice takes the stored elements out of a full tensor, unslice puts them back and touches no other")
{
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const auto s = unit::random_scene(seed);
        unit::random r(seed + 1'000'000);
        const int rank = r.below(s.world);
        const sdp::subnetwork mine(
            s.model, s.residents, rank, r.chance(50) ? sdp::value_layout::split : sdp::value_layout::whole);
        CAPTURE(seed);
        for (std::size_t p = 0; p < s.model.parameters().size(); ++p) {
            const auto& shape = s.model.parameters()[p].shape;
            strided<double> full(shape, r), back(shape, r);
            for (sdp::index_t i = 0; i < shape.product(); ++i)
                full[i] = static_cast<double>(i);
            for (const auto& slab : mine.slabs(sdp::parameter_id(p))) {
                strided<double> local(slab.shape, r);
                sdp::slice(full, local, slab);
                const auto elements = unit::elements_of(slab, shape);
                for (std::size_t i = 0; i < elements.size(); ++i)
                    REQUIRE(local[static_cast<sdp::index_t>(i)] == static_cast<double>(elements[i]));
                REQUIRE(local.untouched() == static_cast<long>(local.storage.size() - elements.size()));

                std::vector<double> flat(elements.size()); // a flat buffer does as well
                sdp::slice(full, flat, slab);
                for (std::size_t i = 0; i < elements.size(); ++i)
                    REQUIRE(flat[i] == static_cast<double>(elements[i]));
                r.chance(50) ? sdp::unslice(flat, back, slab) : sdp::unslice(local, back, slab);
            }
            sdp::index_t stored = 0;
            for (sdp::index_t i = 0; i < shape.product(); ++i) {
                const bool held = unit::has(s.elements.stored[p][static_cast<std::size_t>(i)], rank);
                stored += held ? 1 : 0;
                REQUIRE(back[i] == (held ? static_cast<double>(i) : -7.0));
            }
            REQUIRE(back.untouched() == static_cast<long>(back.storage.size()) - stored);
        }
    }
}

TEST_CASE("half precision is sliced by its bits")
{
    const auto m = unit::one_group(4);
    sdp::assignment a(m, 2);
    a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 1, {0}}, {1, 3, {1}}, {3, 4, {0}}});
    const sdp::residency residents(m, a, sdp::forward_masking {});
    const sdp::subnetwork mine(m, residents, 0);
    std::array<std::uint16_t, 4> full {0x3C00, 0x7E01, 0x0001, 0xFE55};
    std::array<std::uint16_t, 2> local {};
    const auto view = [](auto& of, sdp::extents shape) {
        return sdp::tensor_view {of.data(), shape, sdp::row_major_strides(shape), sdp::element_type::bf16};
    };
    sdp::slice(view(full, {4, 1}), view(local, {2, 1}), mine.slabs(sdp::parameter_id(0))[0]);
    CHECK(local == std::array<std::uint16_t, 2> {0x3C00, 0xFE55});
}

TEST_CASE("tensors that do not fit are refused")
{
    const auto m = unit::one_group(4, 3);
    sdp::assignment a(m, 2);
    a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 1, {0}}, {1, 4, {1}}});
    const sdp::residency residents(m, a, sdp::forward_masking {});
    const sdp::subnetwork mine(m, residents, 1);
    const auto& slab = mine.slabs(sdp::parameter_id(0))[0];
    unit::random r(1);
    const strided<float> full({4, 3}, r), local({3, 3}, r), turned({3, 4}, r);
    const strided<double> wide({3, 3}, r);
    CHECK_NOTHROW(sdp::slice(full, local, slab));
    CHECK(unit::flaw([&] { sdp::slice(full, turned, slab); }, {"local tensor", "[3, 4]", "[3, 3]"}) == "");
    CHECK(unit::flaw([&] { sdp::slice(turned, local, slab); }, {"full tensor", "[3, 4]", "[4, 3]"}) == "");
    CHECK(unit::flaw([&] { sdp::unslice(full, full, slab); }, {"local tensor", "[4, 3]", "[3, 3]"}) == "");
    CHECK(unit::flaw([&] { sdp::slice(full, wide, slab); }, {"f32", "f64", "the same"}) == "");
    CHECK(unit::flaw([&] { sdp::slice(full, std::vector<float>(8), slab); }, {"local tensor", "[8]", "[3, 3]"}) == "");
    auto elsewhere = sdp::view_of(local);
    elsewhere.space = sdp::memory_space::cuda;
    CHECK(unit::flaw([&] { sdp::slice(full, elsewhere, slab); }, {"local tensor", "host memory"}) == "");
}

TEST_CASE("extents of 1 in front and behind make no difference to what fits")
{
    using sdp::extents;
    float elements[24] {};
    const auto fits = [&](const sdp::tensor_view& view, const extents& shape) -> std::optional<extents> {
        const auto out = sdp::detail::fit(view, shape);
        if (!out)
            return std::nullopt;
        CHECK((out->shape == shape && out->data == view.data && out->size() == view.size()));
        return out->strides;
    };
    const auto row_major
        = [&](const extents& from, const extents& to) { return fits(sdp::view(elements, from), to).has_value(); };
    for (const extents& n : {extents {5}, extents {1, 5}, extents {5, 1}, extents {1, 5, 1}, extents {1, 1, 5}})
        for (const extents& to : {extents {5}, extents {1, 5}, extents {5, 1}, extents {1, 1, 5, 1}}) {
            CHECK(row_major(n, to));
            CHECK(sdp::detail::fit(sdp::view(elements, n), to)->contiguous());
        }
    CHECK(row_major({2, 1, 3}, {1, 2, 1, 3}));
    CHECK(row_major({1, 1}, {}));
    CHECK(row_major({}, {1}));
    CHECK(!row_major({2, 3}, {3, 2}));
    CHECK(!row_major({2, 3}, {6}));
    CHECK(!row_major({2, 1, 3}, {2, 3})); // within: another tensor
    CHECK(!row_major({1, 5}, {1, 6}));
    // The strides of what is left go along.
    CHECK(fits(sdp::view(elements, {2, 3}, {1, 2}), {1, 2, 3, 1}) == extents {6, 1, 2, 1});
    CHECK(fits(sdp::view(elements, {1, 4}, {99, 3}), {4}) == extents {3});
    CHECK(fits(sdp::view(elements, {1, 1}, {99, 98}), {}) == extents {});

    // And the elements are the ones that were meant.
    std::vector<float> full {0, 1, 2, 3, 4, 5, 6, 7}, every_other(8, -1.0F);
    sdp::slab s {sdp::parameter_id(0), true, {{{0, 1}}, {{1, 3}, {6, 8}}}, {1, 4}, {1, 8}};
    sdp::slice(sdp::view(full.data(), {8, 1}), sdp::view(every_other.data(), {4}, {2}), s);
    CHECK(every_other == std::vector<float> {1, -1, 2, -1, 6, -1, 7, -1});
}

TEST_CASE("a rank outside the world is refused")
{
    const auto m = unit::one_group(4);
    const sdp::residency residents(m, sdp::assignment(m, 3), sdp::forward_masking {});
    CHECK(unit::flaw([&] { sdp::subnetwork(m, residents, 3); }, {"rank 3", "0 to 2"}) == "");
    CHECK(unit::flaw([&] { sdp::subnetwork(m, residents, -1); }, {"rank -1"}) == "");
}

TEST_CASE("a worker of a LLaMA holds its coverage of what may be split, and all of the rest")
{
    const auto m = unit::llama(512, 1376, 8, 8, 32000);
    const auto rest = m.size() - m.maskable_size();
    const auto blocks = sdp::block_partition {.coverage = 0.5}(m, 4);
    sdp::index_t sum = 0;
    for (int rank = 0; rank < 4; ++rank) {
        const auto forward = sdp::residency(m, blocks, sdp::forward_masking {});
        const sdp::subnetwork mine(m, forward, rank);
        const auto part = static_cast<double>(mine.stored_elements() - rest) / static_cast<double>(m.maskable_size());
        CHECK(part <= 0.55);
        CHECK(part >= 0.45);
        sum += mine.stored_elements() - rest;
        const sdp::subnetwork all(m, sdp::residency(m, blocks, sdp::backward_masking {}), rank, sdp::value_layout::split);
        CHECK(all.stored_elements() == m.size());
        CHECK(all.gradient_elements() == mine.stored_elements());
    }
    CHECK(sum == 2 * m.maskable_size());
}

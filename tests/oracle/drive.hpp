// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief One worker of a scenario: runs the library's steps as a trainer would and compares every element with the
/// simulation. Knows no communicator, so that the same comparison serves all of them.

#include "guarded_tensor.hpp"
#include "oracle.hpp"
#include "random_models.hpp"

#include <sdp/data_parallel.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace oracle {

/// The expected results of a scenario; the same for all workers.
struct expectation {
    element_sets sets;
    numbers from;
    std::vector<state> exact; ///< rounded as the workers round
    std::vector<state> yardstick; ///< all in double
    std::vector<sent_elements> sent; ///< per rank and step

    explicit expectation(const scenario& s)
        : sets(resolve(s.model, s.holders, s.rules()))
        , from {s.seed}
        , exact(simulate(s.model, sets, s.world, from, s.how, s.steps, false))
        , yardstick(simulate(s.model, sets, s.world, from, s.how, s.steps, true))
        , sent(formula(s.model, sets, s.world, s.owner_update(), s.options.route != sdp::route_choice::two_sided))
    {
    }
};

/// One worker's report.
struct outcome {
    std::vector<std::string> failures;
    std::uint64_t bits = 0; ///< of every gradient, value, optimizer state and norm, in order
    std::vector<double> norms; ///< per step
    std::uint64_t compared = 0; ///< numbers looked at
    std::vector<std::uint64_t> sent_bytes; ///< per step
    std::vector<std::pair<std::size_t, index_t>> owned; ///< under owner update: parameter and element
};

template <class Regime, class Communicator> class worker {
public:
    worker(const scenario& s, const expectation& expected, Regime regime, Communicator communicator)
        : s_(s)
        , expected_(expected)
        , rank_(communicator.rank())
        , random_(hash(s.seed, 7, rank_) ^ s.habits)
        , parallel_(s.model, prepared {s.holders}, regime, communicator, s.options)
    {
    }

    outcome run()
    {
        neurons();
        bind();
        for (int step = 0; step < s_.steps; ++step) {
            backward(step);
            after_reduction(step);
            optimize(step);
            forget();
            parallel_.publish_values();
            tensor_memory.settle();
            after_publish(step);
        }
        assemble();
        scalars();
        spoil();
        return std::move(out_);
    }

private:
    /// A slab of a parameter: the tensor and the global element of each of its entries.
    struct piece {
        std::vector<index_t> elements;
        guarded_tensor tensor;
    };
    struct holding {
        std::vector<piece> values; ///< one per slab
        guarded_tensor gradient; ///< entries are those of slab 0
        sdp::tensor_view shared; ///< where the library wants it instead, or null
        bool bound = false; ///< gradient bound once, or handed to each ready()
        bool present = false;
        bool trained = false;
    };

    template <class... Pieces> void expect(bool holds, const Pieces&... pieces)
    {
        if (!holds && out_.failures.size() < 10)
            out_.failures.push_back(sdp::detail::text("rank ", rank_, ": ", pieces...));
    }

    [[nodiscard]] static sdp::parameter_id id(std::size_t p) { return sdp::parameter_id(p); }
    [[nodiscard]] bool trains(std::size_t p, index_t e) const
    {
        return has(expected_.sets.trained[p][static_cast<std::size_t>(e)], rank_);
    }

    void note(std::uint64_t bits)
    {
        out_.bits = hash(out_.bits, bits);
        ++out_.compared;
    }

    [[nodiscard]] const std::string& name(std::size_t p) const { return s_.model.parameters()[p].name; }
    [[nodiscard]] sdp::element_type type(std::size_t p) const { return s_.model.parameters()[p].type(); }
    [[nodiscard]] double initial(std::size_t p, index_t e) const { return rounded(type(p), expected_.from.initial(p, e)); }
    /// Tolerance for the rounding of the parameter's type.
    [[nodiscard]] double epsilon(std::size_t p) const
    {
        return type(p) == sdp::element_type::f64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
    }

    /// A tensor for the parameter; a third of all are strided.
    [[nodiscard]] guarded_tensor make(std::size_t p, const sdp::extents& shape)
    {
        return {type(p), shape, random_.chance(33) && !s_.contiguous ? &random_ : nullptr};
    }

    /// Calls f with the tensor, or with a flat range of its elements.
    template <class F> void as_any_tensor(const guarded_tensor& t, F f)
    {
        if (sdp::view_of(t).contiguous() && random_.chance(40) && tensor_memory.space == sdp::memory_space::host)
            t.as_flat(f);
        else
            f(t);
    }

    /// A tensor of memory that the host reaches, as one in host memory.
    template <class T> [[nodiscard]] static sdp::tensor_view on_host(const T& t)
    {
        auto out = sdp::view_of(t);
        out.space = sdp::memory_space::host;
        return out;
    }

    /// The global elements of a slab, from its intervals.
    [[nodiscard]] static std::vector<index_t> elements_of(const sdp::slab& slab, const sdp::extents& shape)
    {
        std::vector<index_t> out {0};
        for (std::size_t axis = 0; axis < shape.size(); ++axis) {
            std::vector<index_t> next;
            for (const index_t before : out)
                for (const auto& i : slab.axes[axis])
                    for (index_t at = i.begin; at < i.end; ++at)
                        next.push_back(before * shape[axis] + at);
            out = std::move(next);
        }
        return out;
    }

    /// A slab cut out of the full tensor holds the right elements, and goes back to where it was.
    void round_trip(const sdp::slab& slab, std::size_t p, piece& values)
    {
        auto full = make(p, s_.model.parameters()[p].shape), back = make(p, s_.model.parameters()[p].shape);
        for (std::size_t e = 0; e < full.size(); ++e)
            full.set(e, initial(p, static_cast<index_t>(e)));
        as_any_tensor(full, [&](const auto& f) {
            as_any_tensor(values.tensor, [&](const auto& v) { sdp::slice(on_host(f), on_host(v), slab); });
        });
        as_any_tensor(back, [&](const auto& b) {
            as_any_tensor(values.tensor, [&](const auto& v) { sdp::unslice(on_host(v), on_host(b), slab); });
        });
        bool cut = true, returned = true;
        for (std::size_t i = 0; i < values.elements.size(); ++i) {
            const auto e = static_cast<std::size_t>(values.elements[i]);
            cut = cut && bits_of(values.tensor[i]) == bits_of(full[e]);
            returned = returned && bits_of(back[e]) == bits_of(full[e]);
            back.forget(e);
            values.tensor.forget(i);
        }
        for (std::size_t e = 0; e < back.size(); ++e)
            returned = returned && back.untouched(e);
        expect(cut && values.tensor.intact(), name(p), ": slice() does not yield the slab's elements");
        expect(returned && back.intact(), name(p), ": unslice() does not put back the slab's elements");
    }

    /// The neurons of the groups that this worker has, as the library lists them.
    void neurons()
    {
        const auto& mine = parallel_.subnetwork();
        const auto rules = s_.rules();
        for (std::size_t g = 0; g < s_.model.groups().size(); ++g) {
            const auto group = sdp::group_id(g);
            std::vector<bool> stored(static_cast<std::size_t>(s_.model[group].neurons)), trained = stored;
            for (const auto& unit : s_.holders.units(group)) {
                const auto holders = mask_of(s_.holders.holders(unit));
                for (auto i = static_cast<std::size_t>(unit.begin); i < static_cast<std::size_t>(unit.end); ++i) {
                    stored[i] = has(rules.stored(s_.model[group].name, false, holders, s_.world), rank_);
                    trained[i] = has(rules.trained(s_.model[group].name, false, holders, s_.world), rank_);
                }
            }
            const auto listed = [&](const auto& intervals) {
                std::vector<bool> out(stored.size());
                for (const auto& i : intervals)
                    for (auto at = static_cast<std::size_t>(i.begin); at < static_cast<std::size_t>(i.end); ++at)
                        out[at] = true;
                return out;
            };
            expect(listed(mine.neurons(group)) == stored, "the stored neurons of ", s_.model[group].name,
                " are not those of the regime");
            expect(listed(mine.trained_neurons(group)) == trained, "the trained neurons of ", s_.model[group].name,
                " are not those of the regime");
        }
        for (std::size_t b = 0; b < s_.model.blocks().size(); ++b) {
            const auto block = sdp::block_id(b);
            const auto holders = mask_of(s_.holders.holders(block));
            const auto& called = s_.model[block].name;
            expect(
                mine.stores(block) == has(rules.stored(called, true, holders, s_.world), rank_), "stores(", called, ") is wrong");
            expect(mine.trains(block) == has(rules.trained(called, true, holders, s_.world), rank_), "trains(", called,
                ") is wrong");
        }
    }

    void bind()
    {
        const auto& mine = parallel_.subnetwork();
        expect(mine.rank() == rank_ && mine.world() == s_.world, "the subnetwork is of another rank or world");
        index_t stored_total = 0;
        for (std::size_t p = 0; p < s_.model.parameters().size(); ++p) {
            const auto& parameter = s_.model.parameters()[p];
            const auto stored = region_of(expected_.sets.stored[p], parameter.shape, rank_);
            const auto trained = region_of(expected_.sets.trained[p], parameter.shape, rank_);
            stored_total += static_cast<index_t>(stored.elements.size());
            auto& h = holdings_.emplace_back();
            h.present = !stored.elements.empty();
            h.trained = !trained.elements.empty();
            expect(mine.stores(id(p)) == h.present, parameter.name, ": stores() is ", !h.present);
            expect(mine.trains(id(p)) == h.trained, parameter.name, ": trains() is ", !h.trained);

            std::vector<index_t> covered;
            for (const auto& slab : mine.slabs(id(p))) {
                auto elements = elements_of(slab, parameter.shape);
                expect(slab.parameter == id(p), parameter.name, ": a slab of another parameter");
                expect(slab.size() == static_cast<index_t>(elements.size()), parameter.name, ": a slab has size ", slab.size(),
                    ", its intervals ", elements.size());
                expect(slab.shape.product() == slab.size(), parameter.name, ": a slab has shape ", slab.shape);
                covered.insert(covered.end(), elements.begin(), elements.end());
                auto& values = h.values.emplace_back(std::move(elements), make(p, slab.shape));
                round_trip(slab, p, values);
                const bool garbage = random_.chance(50);
                for (std::size_t i = 0; i < values.elements.size(); ++i)
                    if (trains(p, values.elements[i]) || !garbage)
                        values.tensor.set(i, initial(p, values.elements[i]));
            }
            std::sort(covered.begin(), covered.end());
            expect(covered == stored.elements, parameter.name, ": the slabs hold ", covered, ", expected ", stored.elements);
            if (!h.present)
                continue;
            if (!s_.split() || h.trained) {
                const auto& first = s_.split() ? trained : stored;
                expect(h.values.front().elements == first.elements, parameter.name, ": slab 0 holds ", h.values.front().elements,
                    ", expected ", first.elements);
                expect(
                    mine.shape(id(p)) == first.shape, parameter.name, ": shape ", mine.shape(id(p)), ", expected ", first.shape);
            }
            for (std::size_t i = 0; i < h.values.size(); ++i)
                as_any_tensor(h.values[i].tensor, [&](const auto& t) {
                    if (i == 0)
                        parallel_.bind(id(p), t);
                    else
                        parallel_.bind(id(p), t, i);
                });
            if (!h.trained)
                continue;
            h.gradient = make(p, h.values.front().tensor.shape());
            h.bound = random_.chance(50);
            if (s_.options.shared_gradients)
                h.shared = parallel_.gradient_memory(id(p));
            if (h.bound && h.shared.data != nullptr)
                parallel_.bind_gradient(id(p), h.shared);
            else if (h.bound)
                as_any_tensor(h.gradient, [&](const auto& t) { parallel_.bind_gradient(id(p), t); });
        }
        expect(
            mine.stored_elements() == stored_total, "stored_elements() is ", mine.stored_elements(), ", expected ", stored_total);
        for (const auto& parameter : s_.model.parameters())
            optimizer_.emplace_back(static_cast<std::size_t>(parameter.size()));
    }

    /// Calls f with an element of the memory that the library has for a gradient.
    template <class F> static void with_shared(const holding& h, std::size_t element, F f)
    {
        if (h.shared.type == sdp::element_type::f64)
            f(static_cast<double*>(h.shared.data)[element]);
        else
            f(static_cast<float*>(h.shared.data)[element]);
    }

    void ready(std::size_t p)
    {
        auto& h = holdings_[p];
        if (!h.trained) {
            if (random_.chance(50))
                parallel_.ready(id(p)); // means nothing here
            return;
        }
        if (h.shared.data != nullptr)
            for (std::size_t i = 0; i < h.gradient.size(); ++i)
                with_shared(
                    h, i, [&](auto& element) { element = static_cast<std::remove_cvref_t<decltype(element)>>(h.gradient[i]); });
        if (h.bound && random_.chance(80))
            parallel_.ready(id(p));
        else if (h.shared.data != nullptr)
            parallel_.ready(id(p), h.shared);
        else
            as_any_tensor(h.gradient, [&](const auto& t) { parallel_.ready(id(p), t); });
        if (random_.chance(20))
            parallel_.progress();
    }

    /// Reverse order of declaration, as a backward pass yields them, or any other; each worker on its own.
    [[nodiscard]] std::vector<std::size_t> order()
    {
        std::vector<std::size_t> out;
        for (std::size_t p = holdings_.size(); p-- > 0;)
            out.push_back(p);
        if (random_.chance(60))
            random_.shuffle(out);
        return out;
    }

    void backward(int step)
    {
        if (!s_.how.weights.empty())
            parallel_.begin_step(s_.how.weights[static_cast<std::size_t>(step)][static_cast<std::size_t>(rank_)]);
        for (auto& h : holdings_)
            if (h.trained)
                for (std::size_t i = 0; i < h.gradient.size(); ++i)
                    h.gradient.forget(i);
        for (int micro = 0; micro < s_.how.micro_batches; ++micro) {
            const auto accumulate = [&](std::size_t p) {
                auto& h = holdings_[p];
                if (!h.trained)
                    return;
                for (std::size_t i = 0; i < h.gradient.size(); ++i) {
                    const index_t e = h.values.front().elements[i];
                    if (!trains(p, e))
                        continue;
                    const double fresh = rounded(type(p), expected_.from.gradient(step, micro, rank_, p, e));
                    h.gradient.set(i, micro == 0 ? fresh : h.gradient[i] + fresh);
                }
            };
            if (micro + 1 < s_.how.micro_batches) {
                const auto skip = parallel_.no_sync();
                for (const auto p : order()) {
                    accumulate(p);
                    ready(p);
                }
                parallel_.finish();
            } else {
                // Later gradients are written while earlier ones are already on their way.
                for (const auto p : order()) {
                    accumulate(p);
                    ready(p);
                }
            }
        }
        parallel_.finish();
        tensor_memory.settle();
        for (auto& h : holdings_)
            if (h.shared.data != nullptr)
                for (std::size_t i = 0; i < h.gradient.size(); ++i)
                    with_shared(h, i, [&](auto element) { h.gradient.set(i, element); });
    }

    /// The result, bit for bit, and how far rounding may have moved it.
    void compare(const char* what, std::size_t p, index_t e, double found, double exact, double yardstick, double tolerance)
    {
        note(bits_of(found));
        expect(bits_of(found) == bits_of(exact), what, " of ", name(p), "[", e, "] is ", found, ", expected ", exact);
        expect(std::fabs(found - yardstick) <= tolerance, what, " of ", name(p), "[", e, "] is ", found,
            ", the simulation in double has ", yardstick);
    }

    void after_reduction(int step)
    {
        const auto& exact = expected_.exact[static_cast<std::size_t>(step)];
        const auto& yardstick = expected_.yardstick[static_cast<std::size_t>(step)];
        for (std::size_t p = 0; p < holdings_.size(); ++p) {
            auto& h = holdings_[p];
            if (!h.trained)
                continue;
            for (std::size_t i = 0; i < h.gradient.size(); ++i) {
                const index_t e = h.values.front().elements[i];
                const auto at = static_cast<std::size_t>(e);
                if (!trains(p, e))
                    expect(h.gradient.untouched(i), "the gradient of ", name(p), "[", e, "], not trained here, was written");
                else if (!s_.owner_update())
                    compare("gradient", p, e, h.gradient[i], exact.gradient[p][at], yardstick.gradient[p][at], 200 * epsilon(p));
            }
            expect(h.gradient.intact(), "the gradient of ", name(p), " was written past its elements");
        }
        const double worst
            = s_.type == elements::doubles ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
        const double norm = parallel_.gradient_norm();
        out_.norms.push_back(norm);
        note(bits_of(norm));
        expect(std::fabs(norm - exact.norm) <= 1e-12 * exact.norm, "the norm is ", norm, ", expected ", exact.norm);
        expect(std::fabs(norm - yardstick.norm) <= 100 * worst * yardstick.norm, "the norm is ", norm, ", in double ",
            yardstick.norm);
    }

    void optimize(int step)
    {
        if (s_.owner_update()) {
            optimize_owned(step);
            return;
        }
        for (std::size_t p = 0; p < holdings_.size(); ++p) {
            auto& h = holdings_[p];
            if (!h.trained)
                continue;
            auto& values = h.values.front();
            for (std::size_t i = 0; i < values.elements.size(); ++i)
                if (const index_t e = values.elements[i]; trains(p, e)) {
                    auto& state = optimizer_[p][static_cast<std::size_t>(e)];
                    values.tensor.set(i, adam(type(p), values.tensor[i], state, h.gradient[i], step + 1));
                    compare_optimizer(step, p, e, state);
                }
        }
    }

    /// Only the owner of an element has its optimizer state.
    void optimize_owned(int step)
    {
        const index_t count = parallel_.owned_elements();
        const auto size = static_cast<std::size_t>(count);
        const guarded_tensor gradients(type(0), {count}, nullptr);
        guarded_tensor values(type(0), {count}, nullptr);
        parallel_.read_owned_gradients(gradients);
        parallel_.read_owned_values(values);
        tensor_memory.settle();
        if (step == 0)
            recognise(gradients, values);
        if (out_.owned.size() != size)
            return;
        const auto& exact = expected_.exact[static_cast<std::size_t>(step)];
        const auto& yardstick = expected_.yardstick[static_cast<std::size_t>(step)];
        for (std::size_t i = 0; i < size; ++i) {
            const auto [p, e] = out_.owned[i];
            const auto at = static_cast<std::size_t>(e);
            compare("owned gradient", p, e, gradients[i], exact.gradient[p][at], yardstick.gradient[p][at], 200 * epsilon(p));
            auto& state = optimizer_[p][at];
            values.set(i, adam(type(p), values[i], state, gradients[i], step + 1));
            compare_optimizer(step, p, e, state);
        }
        owned_ = {out_.owned.begin(), out_.owned.end()};
        parallel_.write_owned_values(values);
        tensor_memory.settle();
        expect(gradients.intact() && values.intact(), "the flat shard was written past its elements");
    }

    /// Finds out which elements the flat shard holds, by what is in it: the pair of gradient and value tells elements of a
    /// parameter apart. Checks that they are as many of each class as the shares say.
    void recognise(const guarded_tensor& gradients, const guarded_tensor& values)
    {
        index_t next = 0;
        for (const auto& range : parallel_.owned_ranges()) {
            const auto p = sdp::index_of(range.parameter);
            expect(range.offset == next && range.size > 0, "the owned range of ", name(p), " starts at ", range.offset,
                ", expected ", next);
            next += range.size;
            std::map<std::pair<std::uint64_t, std::uint64_t>, index_t> elements;
            for (index_t e = 0; e < s_.model.parameters()[p].size(); ++e)
                if (trains(p, e))
                    elements[{bits_of(expected_.exact[0].gradient[p][static_cast<std::size_t>(e)]), bits_of(initial(p, e))}] = e;
            for (auto i = static_cast<std::size_t>(range.offset); i < static_cast<std::size_t>(next) && i < gradients.size();
                 ++i) {
                const auto found = elements.find({bits_of(gradients[i]), bits_of(values[i])});
                expect(found != elements.end(), "owned element ", i, " of ", name(p), " has gradient ", gradients[i],
                    " and value ", values[i], ", which no element trained here has");
                if (found == elements.end())
                    return;
                out_.owned.emplace_back(p, found->second);
                elements.erase(found);
            }
        }
        expect(next == static_cast<index_t>(gradients.size()), "the owned ranges have ", next, " elements, the shard ",
            gradients.size());

        std::map<std::pair<rank_mask, rank_mask>, index_t> own;
        for (const auto& [p, e] : out_.owned)
            ++own[{
                expected_.sets.trained[p][static_cast<std::size_t>(e)], expected_.sets.stored[p][static_cast<std::size_t>(e)]}];
        for (const auto& [key, elements] : classes_of(s_.model, expected_.sets)) {
            const auto share = static_cast<index_t>(share_of(elements, key.first, rank_));
            expect(
                own[key] == share, "of ", elements, " elements with the same holders ", own[key], " are owned, expected ", share);
        }
    }

    void compare_optimizer(int step, std::size_t p, index_t e, const adam_state& found)
    {
        const auto at = static_cast<std::size_t>(e);
        const auto& exact = expected_.exact[static_cast<std::size_t>(step)].optimizer[p][at];
        const auto& yardstick = expected_.yardstick[static_cast<std::size_t>(step)].optimizer[p][at];
        compare("first moment", p, e, found.m, exact.m, yardstick.m, 300 * epsilon(p));
        compare("second moment", p, e, found.v, exact.v, yardstick.v, 3000 * epsilon(p));
    }

    /// Poisons every value that publishing has to bring.
    void forget()
    {
        for (std::size_t p = 0; p < holdings_.size(); ++p)
            for (auto& values : holdings_[p].values)
                for (std::size_t i = 0; i < values.elements.size(); ++i) {
                    const index_t e = values.elements[i];
                    if (s_.owner_update() ? !owned_.contains({p, e}) : !trains(p, e))
                        values.tensor.forget(i);
                }
    }

    void after_publish(int step)
    {
        const auto& exact = expected_.exact[static_cast<std::size_t>(step)];
        const auto& yardstick = expected_.yardstick[static_cast<std::size_t>(step)];
        for (std::size_t p = 0; p < holdings_.size(); ++p)
            for (auto& values : holdings_[p].values) {
                for (std::size_t i = 0; i < values.elements.size(); ++i) {
                    const auto at = static_cast<std::size_t>(values.elements[i]);
                    compare("value", p, values.elements[i], values.tensor[i], exact.value[p][at], yardstick.value[p][at],
                        learning_rate * 1e6 * epsilon(p));
                }
                expect(values.tensor.intact(), "the values of ", name(p), " were written past their elements");
            }

        const auto in_step = parallel_.step_traffic();
        const auto in_total = parallel_.total_traffic();
        out_.sent_bytes.push_back(in_step.bytes());
        expect(in_step.bytes() * static_cast<std::uint64_t>(step + 1) == in_total.bytes(), in_step.bytes(),
            " bytes were sent in step ", step, " and ", in_total.bytes(), " since the first");
        if (s_.type != elements::both) { // with two types it depends on which elements are owned; then all ranks are summed
            const auto& sent = expected_.sent[static_cast<std::size_t>(rank_)];
            const auto check = [&](const char* phase, std::uint64_t bytes, std::uint64_t expected) {
                expected *= sdp::size_of(type(0));
                expect(
                    bytes == expected, phase, ": ", bytes, " bytes were sent in step ", step, ", the formula gives ", expected);
            };
            check("reduce", in_step.reduce_bytes, sent.reduce);
            check("publish", in_step.publish_bytes, sent.publish);
            check("values", in_step.value_bytes, sent.values);
            check("all", in_step.bytes(), sent.total());
        }
        check_messages(in_step.messages);
        note(in_step.bytes());
    }

    /// At most one message per phase and peer when everything fits one bucket; a peer is who trains something with this
    /// worker, or stores what this one trains.
    void check_messages(std::uint64_t messages)
    {
        std::size_t bytes = 0;
        rank_mask mates = 0, readers = 0;
        for (std::size_t p = 0; p < holdings_.size(); ++p) {
            bytes += static_cast<std::size_t>(s_.model.parameters()[p].size()) * sdp::size_of(type(p));
            for (std::size_t e = 0; e < expected_.sets.trained[p].size(); ++e)
                if (has(expected_.sets.trained[p][e], rank_)) {
                    mates |= expected_.sets.trained[p][e];
                    readers
                        |= expected_.sets.stored[p][e] & (s_.owner_update() ? everyone(s_.world) : ~expected_.sets.trained[p][e]);
                }
        }
        const auto others = [&](rank_mask set) { return static_cast<std::uint64_t>(count(set & ~(rank_mask(1) << rank_))); };
        if (s_.type == elements::both || bytes > s_.options.bucket_bytes)
            return;
        // Of the trainers of this worker, some may be on its node and some not.
        const auto ways = s_.several_nodes ? 2U : 1U;
        const auto most = ways * (s_.owner_update() ? 1 : 2) * others(mates) + others(readers);
        expect(messages <= most, messages, " messages were sent in a step of one bucket, expected at most ", most);
    }

    /// The whole of each parameter at some rank.
    void assemble()
    {
        for (std::size_t p = 0; p < holdings_.size(); ++p) {
            const auto& parameter = s_.model.parameters()[p];
            const int root = static_cast<int>(hash(s_.seed, 11, p) % static_cast<std::uint64_t>(s_.world));
            const auto full = rank_ == root ? make(p, parameter.shape) : guarded_tensor();
            parallel_.assemble(id(p), root, on_host(full));
            if (rank_ != root)
                continue;
            for (std::size_t e = 0; e < full.size(); ++e) {
                const double expected = expected_.exact.back().value[p][e];
                note(bits_of(full[e]));
                expect(bits_of(full[e]) == bits_of(expected), parameter.name, "[", e, "] assembled is ", full[e], ", expected ",
                    expected);
            }
            expect(full.intact(), "assembling ", parameter.name, " wrote past its elements");
        }
    }

    /// Sums over all workers, in rank order.
    void scalars()
    {
        std::vector<double> mine, sums(3);
        for (std::size_t i = 0; i < sums.size(); ++i)
            for (int rank = 0; rank < s_.world; ++rank) {
                const double x = number(hash(s_.seed, 13, i, rank));
                if (rank == rank_)
                    mine.push_back(x);
                sums[i] = rank == 0 ? x : sums[i] + x;
            }
        parallel_.reduce_scalars(mine);
        for (std::size_t i = 0; i < sums.size(); ++i)
            expect(bits_of(mine[i]) == bits_of(sums[i]), "the sum over all workers is ", mine[i], ", expected ", sums[i]);
    }

    /// One worker's gradient becomes infinite somewhere: every worker learns where.
    void spoil()
    {
        if (hash(s_.seed, 17) % 4 != 0)
            return;
        if (!s_.how.weights.empty())
            parallel_.begin_step(1);
        const auto victim = static_cast<std::size_t>(hash(s_.seed, 19) % holdings_.size());
        const auto& sets = expected_.sets.trained[victim];
        const auto element = static_cast<std::size_t>(hash(s_.seed, 23) % sets.size());
        for (const auto p : order()) {
            auto& h = holdings_[p];
            for (std::size_t i = 0; h.trained && i < h.gradient.size(); ++i)
                if (const auto e = h.values.front().elements[i]; trains(p, e)) {
                    const bool here
                        = p == victim && static_cast<std::size_t>(e) == element && std::countr_zero(sets[element]) == rank_;
                    h.gradient.set(i, here ? std::numeric_limits<double>::infinity() : 1.0);
                }
            ready(p);
        }
        parallel_.finish();
        try {
            const double norm = parallel_.gradient_norm();
            expect(false, "an infinite gradient went unnoticed: the norm is ", norm);
        } catch (const sdp::nonfinite_error& e) {
            expect(std::string(e.what()).find(name(victim)) != std::string::npos,
                "the error does not name the parameter: ", e.what());
        }
    }

    const scenario& s_;
    const expectation& expected_;
    int rank_;
    sequence random_;
    sdp::data_parallel<prepared, Regime, Communicator> parallel_;
    std::vector<holding> holdings_;
    std::vector<std::vector<adam_state>> optimizer_;
    std::set<std::pair<std::size_t, index_t>> owned_;
    outcome out_;
};

/// Calls f with the regime of the scenario.
template <class F> decltype(auto) with_regime(const scenario& s, F f)
{
    switch (s.regime) {
    case regime_kind::forward:
        return f(sdp::forward_masking {});
    case regime_kind::backward:
        return f(sdp::backward_masking {});
    case regime_kind::mixed:
        break;
    }
    return f(mixed_regime {s.seed});
}

template <class Communicator>
[[nodiscard]] outcome run_worker(const scenario& s, const expectation& expected, Communicator communicator)
{
    return with_regime(
        s, [&]<class Regime>(Regime regime) { return worker<Regime, Communicator>(s, expected, regime, communicator).run(); });
}

} // namespace oracle

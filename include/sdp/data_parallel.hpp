// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief Partition × masking × communicator, composed into one type, or made into a `synchronizer` that names neither of the
/// first two.

#include <sdp/detail/step/agreement.hpp>
#include <sdp/detail/step/agreement_text.hpp>
#include <sdp/masking/residency.hpp>
#include <sdp/partition/policy.hpp>
#include <sdp/synchronizer.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <utility>

namespace sdp {

namespace detail {

    /// Keeps a wrong communicator at one error.
    template <class C> struct synchronizer_over {
        struct type { };
    };
    template <communicator C> struct synchronizer_over<C> {
        using type = synchronizer<C>;
    };

    /// Reports a wrong argument in words, before it names the base.
    template <class Partition, class Masking, class Communicator> struct checked_arguments {
        static_assert(partition_policy<Partition>,
            "the second argument of sdp::data_parallel or sdp::make_synchronizer is no partition policy: expected an object that "
            "makes an sdp::assignment "
            "from a model and a world size, such as sdp::neuron_partition {.coverage = 0.5}; see sdp/partition/policy.hpp");
        static_assert(masking_regime<Masking>,
            "the third argument of sdp::data_parallel or sdp::make_synchronizer is no masking regime: expected stored_by(unit) "
            "and trained_by(unit), as "
            "sdp::forward_masking {} has; see sdp/masking/regime.hpp");
        static_assert(communicator<Communicator>,
            "the fourth argument of sdp::data_parallel or sdp::make_synchronizer is no communicator: expected rank(), size() and "
            "exchange(tag, sends, "
            "receives), as sdp::thread_communicator has; see sdp/comm/communicator.hpp");
        using base = typename synchronizer_over<Communicator>::type;
        static constexpr bool right = partition_policy<Partition> && masking_regime<Masking> && communicator<Communicator>;
    };

    /// All that a synchronizer needs from policy and regime.
    struct arrangement {
        sdp::assignment holders;
        sdp::residency residents;
    };

    /// Collective. A refusal on one rank alone must not leave the others waiting, so it is compared like everything else, and
    /// thrown only after all have met.
    template <class Partition, class Masking, communicator Communicator>
    [[nodiscard]] arrangement arrange(const model& m, const Partition& partition, const Masking& masking, Communicator& comm,
        const synchronizer_options& options)
    {
        std::optional<arrangement> out;
        std::exception_ptr refused;
        std::string refusal;
        try {
            check_options(options);
            sdp::assignment a = partition(m, comm.size());
            if (a.world() != comm.size())
                fail("the partition policy made an assignment for ", a.world(), " workers; expected ", comm.size());
            sdp::residency r(m, a, masking);
            out.emplace(arrangement {std::move(a), std::move(r)});
        } catch (const std::exception& e) {
            refused = std::current_exception();
            refusal = text("an error: ", e.what());
        }
        check_agreement(comm,
            {{"model", [&] { return describe(m); }}, {"options", [&] { return describe(options); }},
                {"partition", [&] { return out ? describe(m, out->holders) : refusal; }},
                {"masking regime", [&] { return out ? describe(m, out->residents) : refusal; }}},
            options.local.timeout > options.local.timeout.zero() ? options.local.timeout : local_options {}.timeout);
        if (refused)
            std::rethrow_exception(refused);
        return *std::move(out);
    }

} // namespace detail

/// Subnetwork data parallelism over one model: draws the assignment, derives the subnetwork and the overlap plan, checks
/// that all ranks agree, and offers the step of `synchronizer`.
///
/// `sdp::data_parallel net{model, sdp::block_partition{.coverage = 0.5}, sdp::forward_masking{}, communicator};`
///
/// @tparam Partition a `partition_policy`
/// @tparam Masking a `masking_regime`
/// @tparam Communicator a `communicator`
template <class Partition, class Masking, class Communicator>
class data_parallel : public detail::checked_arguments<Partition, Masking, Communicator>::base {
public:
    /// Collective.
    /// @throws sdp::input_error if the policy or the regime refuses the model, or if a rank was built from another model,
    /// partition,
    ///         regime or options than rank 0: on every rank, naming the rank and what differs
    data_parallel(const model& m, const Partition& partition, const Masking& masking, Communicator comm,
        const synchronizer_options& options = {})
        : data_parallel(m, detail::arrange(m, partition, masking, comm, options), std::move(comm), options)
    {
    }

    /// The holders of every unit.
    [[nodiscard]] const sdp::assignment& assignment() const noexcept { return assignment_; }

private:
    data_parallel(const model& m, detail::arrangement from, Communicator&& comm, const synchronizer_options& options)
        : detail::checked_arguments<Partition, Masking, Communicator>::base(
            m, std::move(from.residents), std::move(comm), options)
        , assignment_(std::move(from.holders))
    {
    }

    sdp::assignment assignment_;
};

/// Collective. Makes a synchronizer whose type names neither policy nor regime, for a program that chooses them at run time or
/// has a synchronizer as a member of a class: `std::unique_ptr<sdp::synchronizer<sdp::thread_communicator>> net`. The pointer
/// moves, the synchronizer does not.
/// @throws sdp::input_error as the constructor of `data_parallel`
template <class Partition, class Masking, class Communicator>
[[nodiscard]] std::unique_ptr<synchronizer<Communicator>> make_synchronizer(const model& m, const Partition& partition,
    const Masking& masking, Communicator comm, const synchronizer_options& options = {})
{
    if constexpr (detail::checked_arguments<Partition, Masking, Communicator>::right) {
        auto from = detail::arrange(m, partition, masking, comm, options);
        return std::make_unique<synchronizer<Communicator>>(m, std::move(from.residents), std::move(comm), options);
    }
}

} // namespace sdp

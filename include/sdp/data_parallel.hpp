// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The composed type that a trainer instantiates: partition × masking × communicator.

#include <sdp/detail/step/agreement.hpp>
#include <sdp/detail/step/agreement_text.hpp>
#include <sdp/masking/residency.hpp>
#include <sdp/partition/policy.hpp>
#include <sdp/synchronizer.hpp>

#include <exception>
#include <optional>
#include <utility>

namespace sdp {

/// Subnetwork data parallelism over one model: draws the assignment, derives the subnetwork and the overlap plan, checks
/// that all ranks agree, and offers the step of `synchronizer`.
///
/// `sdp::data_parallel net{model, sdp::block_partition{.coverage = 0.5}, sdp::forward_masking{}, communicator};`
template <partition_policy Partition, masking_regime Masking, communicator Communicator>
class data_parallel : public synchronizer<Communicator> {
public:
    /// Collective.
    /// @throws sdp::error if the policy or the regime refuses the model, or if a rank was built from another model, partition,
    ///         regime or options than rank 0: on every rank, naming the rank and what differs
    data_parallel(const model& m, const Partition& partition, const Masking& masking, Communicator comm,
        const synchronizer_options& options = {})
        : data_parallel(m, agreed(m, partition, masking, comm, options), std::move(comm), options)
    {
    }

    /// The holders of every unit.
    [[nodiscard]] const sdp::assignment& assignment() const noexcept { return assignment_; }

private:
    struct derived {
        sdp::assignment holders;
        sdp::residency residents;
    };

    data_parallel(const model& m, derived from, Communicator&& comm, const synchronizer_options& options)
        : synchronizer<Communicator>(m, std::move(from.residents), std::move(comm), options)
        , assignment_(std::move(from.holders))
    {
    }

    /// A refusal on one rank alone must not leave the others waiting, so it is compared like everything else, and thrown
    /// only after all have met.
    static derived agreed(const model& m, const Partition& partition, const Masking& masking, Communicator& comm,
        const synchronizer_options& options)
    {
        std::optional<derived> out;
        std::exception_ptr refused;
        std::string refusal;
        try {
            detail::check_options(options);
            sdp::assignment a = partition(m, comm.size());
            if (a.world() != comm.size())
                detail::fail("the partition policy made an assignment for ", a.world(), " workers; expected ", comm.size());
            sdp::residency r(m, a, masking);
            out.emplace(derived {std::move(a), std::move(r)});
        } catch (const std::exception& e) {
            refused = std::current_exception();
            refusal = detail::text("an error: ", e.what());
        }
        detail::check_agreement(comm,
            {{"model", [&] { return detail::describe(m); }}, {"options", [&] { return detail::describe(options); }},
                {"partition", [&] { return out ? detail::describe(m, out->holders) : refusal; }},
                {"masking regime", [&] { return out ? detail::describe(m, out->residents) : refusal; }}},
            options.timeout > options.timeout.zero() ? options.timeout : synchronizer_options {}.timeout);
        if (refused)
            std::rethrow_exception(refused);
        return *std::move(out);
    }

    sdp::assignment assignment_;
};

} // namespace sdp

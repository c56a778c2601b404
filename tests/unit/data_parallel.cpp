// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cases.hpp"

#include <sdp/comm/threads.hpp>
#include <sdp/data_parallel.hpp>
#include <sdp/masking/backward.hpp>
#include <sdp/masking/forward.hpp>
#include <sdp/partition/block.hpp>
#include <sdp/partition/neuron.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>

namespace {

using namespace std::chrono_literals;

/// The arguments of each rank's construction; the tests change one of them on one rank.
struct description {
    sdp::model model = unit::llama(8, 6, 2, 2, 5);
    std::function<sdp::assignment(const sdp::model&, int)> partition = sdp::neuron_partition {.coverage = 0.5};
    unit::any_regime regime {};
    sdp::synchronizer_options options = [] {
        sdp::synchronizer_options out;
        out.local.timeout = 30s;
        return out;
    }();
};

using composed
    = sdp::data_parallel<std::function<sdp::assignment(const sdp::model&, int)>, unit::any_regime, sdp::thread_communicator>;

/// Builds four ranks, one of them changed, and returns what is wrong with the refusals: each has to hold all words.
std::string disagreement(int odd, const std::function<void(description&)>& change, std::vector<std::string> words)
{
    std::vector<std::string> sentences(4);
    sdp::run_workers(4, [&](sdp::thread_communicator comm) {
        description d;
        if (comm.rank() == odd)
            change(d);
        auto& sentence = sentences[static_cast<std::size_t>(comm.rank())];
        try {
            const composed net(d.model, d.partition, d.regime, comm, d.options);
            sentence = "nothing was thrown";
        } catch (const sdp::error& e) {
            sentence = e.what();
        }
    });
    for (const auto& sentence : sentences) {
        if (sentence != sentences[0])
            return "the ranks were told different things: " + sentences[0] + " | " + sentence;
        for (const auto& word : words)
            if (sentence.find(word) == std::string::npos)
                return "'" + word + "' is missing in: " + sentence;
    }
    return {};
}

} // namespace

TEST_CASE("the rank that differs is in the error as data")
{
    sdp::run_workers(3, [](sdp::thread_communicator comm) {
        const auto m = unit::llama(8, 6, 2, 2, 5);
        try {
            (void)sdp::data_parallel(
                m, sdp::neuron_partition {.holders = comm.rank() == 2 ? 2 : 1}, sdp::forward_masking {}, comm);
            FAIL_CHECK("nothing was thrown");
        } catch (const sdp::input_error& e) {
            CHECK(e.rank() == 2);
        }
    });
}

TEST_CASE("ranks that were built from different things all refuse, and say which rank differs and in what")
{
    for (const int odd : {1, 3}) {
        const auto rank = "rank " + std::to_string(odd);
        CHECK(disagreement(odd,
                  [](auto& d) {
                      d.model.add_parameter("extra", {7, 2});
                  },
                  {"about the model", rank + " has parameter 'extra' of shape [7, 2]", "rank 0 has nothing"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.model = unit::llama(8, 8, 2, 2, 5); },
                  {"about the model", rank + " has neuron group 'layer0.neurons' of 8 neurons", "rank 0 has", "of 6 neurons"})
            == "");
        CHECK(disagreement(odd,
                  [](auto& d) {
                      sdp::model m;
                      m.add_parameter("p", {2}, {.type = sdp::element_type::f64});
                      d.model = m;
                      d.partition = sdp::pinned {};
                  },
                  {"about the model", rank, "'p' of shape [2], f64"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.partition = sdp::neuron_partition {.coverage = 0.5, .seed = 9}; },
                  {"about the partition", rank + " has neuron group", "held by", "rank 0 has"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.partition = sdp::neuron_partition {.coverage = 0.75}; },
                  {"about the partition", rank + " has neuron group", "held by", "rank 0 has"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.regime.what = unit::any_regime::kind::backward; },
                  {"about the masking regime", rank, "stored by [0, 1, 2, 3]", "rank 0 has"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.normalizer = sdp::normalizer::world; },
                  {"about the options", rank + " has normalizer world", "rank 0 has normalizer holders"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.update = sdp::update_mode::owner_update; },
                  {"about the options", rank + " has update mode owner_update", "rank 0 has update mode average"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.route = sdp::route_choice::two_sided; },
                  {"about the options", rank + " has route two-sided", "rank 0 has route fastest"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.wire = sdp::wire_format::bf16; },
                  {"about the options", rank + " has wire bf16", "rank 0 has wire as_is"})
            == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.wire = sdp::wire_format::f16; },
                  {"about the options", rank + " has wire f16", "rank 0 has wire as_is"})
            == "");
        CHECK(
            disagreement(odd, [](auto& d) { d.options.bucket_bytes = 77; }, {"about the options", rank + " has bucket_bytes 77"})
            == "");
        CHECK(
            disagreement(odd, [](auto& d) { d.options.bucket_bytes = 0; }, {"about the options", rank, "bucket_bytes 0"}) == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.local.buckets_in_flight = 0; }, {rank, "buckets_in_flight is 0"}) == "");
        CHECK(disagreement(odd, [](auto& d) { d.options.local.timeout = -5ms; }, {rank, "timeout is -5 ms"}) == "");
        // A refusal on one rank alone does not leave the others waiting.
        CHECK(disagreement(odd, [](auto& d) { d.partition = sdp::neuron_partition {.coverage = 0.3}; },
                  {"about the partition", rank, "coverage 0.3", "rank 0 has"})
            == "");
    }
    CHECK(
        disagreement(0, [](auto& d) { d.options.bucket_bytes = 77; }, {"about the options", "rank 0 has bucket_bytes 77"}) == "");
}

TEST_CASE("what need not be alike may differ")
{
    sdp::run_workers(4, [&](sdp::thread_communicator comm) {
        description d;
        d.options.local.buckets_in_flight = 1 + comm.rank();
        d.options.local.timeout = std::chrono::seconds(30 + comm.rank());
        d.options.local.layout = comm.rank() % 2 == 0 ? sdp::value_layout::whole : sdp::value_layout::split;
        CHECK_NOTHROW(composed(d.model, d.partition, d.regime, comm, d.options));
    });
}

TEST_CASE("what every rank refuses comes out as it was thrown")
{
    sdp::run_workers(3, [&](sdp::thread_communicator comm) {
        const auto m = unit::llama(8, 6, 2, 2, 5);
        CHECK(unit::flaw([&] { sdp::data_parallel(m, sdp::block_partition {.coverage = 0.5}, sdp::forward_masking {}, comm); },
                  {"coverage 0.5 of 3 workers gives 1.5 holders"})
            == "");
        CHECK(unit::flaw(
                  [&] { sdp::data_parallel(sdp::model {}, sdp::pinned {}, sdp::forward_masking {}, comm); }, {"no parameters"})
            == "");
        const auto for_two = [](const sdp::model& x, int) { return sdp::assignment(x, 2); };
        CHECK(unit::flaw([&] { sdp::data_parallel(m, for_two, sdp::forward_masking {}, comm); }, {"2 workers", "expected 3"})
            == "");
        const auto crossing = [](const sdp::model& x, int world) { // a head and its block with nobody in common
            sdp::assignment a(x, world);
            a.assign(sdp::block_id(0), {0});
            a.assign(sdp::group_id(0), std::vector<sdp::neuron_unit> {{0, 1, {1}}, {1, 2, {0}}});
            return a;
        };
        CHECK(unit::flaw(
                  [&] { sdp::data_parallel(m, crossing, sdp::forward_masking {}, comm); }, {"'layer0.query'", "nobody trains"})
            == "");
        struct other_error : std::logic_error {
            using std::logic_error::logic_error;
        };
        const auto own = [](const sdp::model&, int) -> sdp::assignment { throw other_error("own"); };
        CHECK_THROWS_AS(sdp::data_parallel(m, own, sdp::forward_masking {}, comm), other_error);
    });
}

TEST_CASE("the parts are those that its policies make")
{
    const auto m = unit::llama(8, 6, 2, 2, 5);
    const sdp::block_partition partition {.coverage = 0.5, .seed = 3};
    sdp::run_workers(4, [&](sdp::thread_communicator comm) {
        sdp::data_parallel net(m, partition, sdp::backward_masking {}, comm);
        static_assert(std::is_base_of_v<sdp::synchronizer<sdp::thread_communicator>, decltype(net)>);
        CHECK(net.assignment() == partition(m, 4));
        CHECK(net.rank() == comm.rank());
        CHECK(net.world() == 4);
        CHECK(net.model().size() == m.size());
        CHECK(net.plan().rank == comm.rank());
        for (std::size_t b = 0; b < m.blocks().size(); ++b) {
            CHECK(net.subnetwork().stores(sdp::block_id(b)));
            CHECK(net.subnetwork().trains(sdp::block_id(b)) == net.assignment().holders(sdp::block_id(b)).contains(comm.rank()));
        }
    });
}

TEST_CASE("coverage 1 takes the steps of plain data parallelism, bit for bit")
{
    const auto m = unit::llama(8, 6, 2, 2, 5);
    const auto train = [&](auto partition, auto regime) {
        std::vector<std::vector<float>> out(3);
        sdp::run_workers(3, [&](sdp::thread_communicator comm) {
            sdp::data_parallel net(m, partition, regime, comm);
            std::vector<std::vector<float>> gradients;
            unit::random r(static_cast<std::uint64_t>(comm.rank()));
            for (const auto& p : m.parameters()) {
                auto& g = gradients.emplace_back();
                for (sdp::index_t i = 0; i < p.size(); ++i)
                    g.push_back(static_cast<float>(r.below(1 << 24)) * 0x1p-20F);
            }
            for (std::size_t p = gradients.size(); p-- > 0;)
                net.ready(sdp::parameter_id(p), gradients[p]);
            net.finish();
            net.publish_values(); // nobody stores without training, so there is nothing to bind or send
            auto& mine = out[static_cast<std::size_t>(comm.rank())];
            for (const auto& g : gradients)
                mine.insert(mine.end(), g.begin(), g.end());
            mine.push_back(static_cast<float>(net.gradient_norm()));
            mine.push_back(static_cast<float>(net.step_traffic().bytes()));
        });
        CHECK(out[0].size() == out[1].size());
        return out;
    };
    const auto plain = train(sdp::pinned {}, sdp::forward_masking {});
    CHECK(train(sdp::neuron_partition {.coverage = 1}, sdp::forward_masking {}) == plain);
    CHECK(train(sdp::neuron_partition {.coverage = 1}, sdp::backward_masking {}) == plain);
    CHECK(train(sdp::block_partition {.coverage = 1}, sdp::forward_masking {}) == plain);
    CHECK(train(sdp::block_partition {.coverage = 1}, sdp::backward_masking {}) == plain);
}

TEST_CASE("policy and regime may be chosen at run time, and the result be a member that moves")
{
    struct holder {
        std::unique_ptr<sdp::synchronizer<sdp::thread_communicator>> net;
    };
    const auto m = unit::llama(8, 6, 2, 2, 5);
    for (const bool by_neurons : {false, true})
        sdp::run_workers(4, [&](sdp::thread_communicator comm) {
            holder first;
            if (by_neurons)
                first.net = sdp::make_synchronizer(m, sdp::neuron_partition {.coverage = 0.5}, sdp::forward_masking {}, comm);
            else
                first.net = sdp::make_synchronizer(m, sdp::pinned {}, sdp::backward_masking {}, comm);
            holder second = std::move(first);
            const sdp::neuron_partition half {.coverage = 0.5};
            const sdp::assignment a = by_neurons ? half(m, 4) : sdp::pinned {}(m, 4);
            const auto expected
                = by_neurons ? sdp::residency(m, a, sdp::forward_masking {}) : sdp::residency(m, a, sdp::backward_masking {});
            CHECK(second.net->subnetwork().stored_elements() == sdp::subnetwork(m, expected, comm.rank()).stored_elements());
            std::vector<std::vector<float>> gradients;
            for (std::size_t p = 0; p < m.parameters().size(); ++p) {
                const auto id = sdp::parameter_id(p);
                const auto size = second.net->subnetwork().trains(id) ? second.net->subnetwork().shape(id).product() : 0;
                gradients.emplace_back(static_cast<std::size_t>(size), static_cast<float>(comm.rank()));
            }
            for (std::size_t p = gradients.size(); p-- > 0;)
                second.net->ready(sdp::parameter_id(p), gradients[p]);
            second.net->finish();
            if (!by_neurons)
                for (const auto& gradient : gradients)
                    for (const float x : gradient)
                        REQUIRE(x == 1.5F);
        });
    sdp::run_workers(2, [&](sdp::thread_communicator comm) { // what data_parallel refuses, this does too
        CHECK(unit::flaw(
                  [&] {
                      (void)sdp::make_synchronizer(
                          m, sdp::neuron_partition {.coverage = comm.rank() == 0 ? 0.5 : 1.0}, sdp::forward_masking {}, comm);
                  },
                  {"the ranks disagree about the partition", "rank 1 has", "rank 0 has"})
            == "");
    });
}

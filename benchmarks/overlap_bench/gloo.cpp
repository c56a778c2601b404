// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "backends.hpp"

#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/transport/tcp/device.h>

#include <chrono>
#include <limits>
#include <map>

namespace overlap_bench {
namespace {

    /// A store whose keys all workers set at the same time, so that setting one can be a collective call.
    class gathered_store final : public gloo::rendezvous::Store {
    public:
        explicit gathered_store(gather_bytes gather)
            : gather_(std::move(gather))
        {
        }

        void set(const std::string& key, const std::vector<char>& data) override
        {
            const auto keys = gather_({key.begin(), key.end()});
            const auto values = gather_(data);
            for (std::size_t i = 0; i < keys.size(); ++i)
                values_[std::string(keys[i].begin(), keys[i].end())] = values[i];
        }
        std::vector<char> get(const std::string& key) override { return values_.at(key); }
        void wait(const std::vector<std::string>&) override { }

    private:
        gather_bytes gather_;
        std::map<std::string, std::vector<char>> values_;
    };

    class tcp_workers final : public gloo_workers {
    public:
        tcp_workers(int rank, int size, const gather_bytes& gather)
            : context_(std::make_shared<gloo::rendezvous::Context>(rank, size))
        {
            auto device = gloo::transport::tcp::CreateDevice("localhost");
            gathered_store store(gather);
            context_->setTimeout(std::chrono::minutes(5));
            context_->connectFullMesh(store, device);
        }

        [[nodiscard]] bench::contender fastest(std::span<float> elements, const bench::coordinator& all) override
        {
            const auto context = context_;
            const auto options = [=](gloo::AllreduceOptions::Algorithm algorithm) {
                return [=] {
                    gloo::AllreduceOptions o(context);
                    o.setAlgorithm(algorithm);
                    o.setOutput(elements.data(), elements.size());
                    o.setReduceFunction(static_cast<void (*)(void*, const void*, const void*, std::size_t)>(&gloo::sum<float>));
                    gloo::allreduce(o);
                };
            };
            // gloo's older algorithm classes, ring chunked and halving doubling, are no faster here, and stall now and then when
            // several live on one context.
            const std::map<std::string, std::function<void()>> algorithms {
                {"ring", options(gloo::detail::AllreduceOptionsImpl::RING)},
                {"bcube", options(gloo::detail::AllreduceOptionsImpl::BCUBE)},
            };
            bench::contender out;
            out.name = "gloo";
            double best = std::numeric_limits<double>::max();
            for (const auto& [name, run] : algorithms) {
                double fastest = std::numeric_limits<double>::max();
                for (int trial = 0; trial < 3; ++trial) {
                    all.barrier();
                    const auto start = std::chrono::steady_clock::now();
                    run();
                    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
                    fastest = std::min(fastest, all.maximum(took.count()));
                }
                if (fastest < best) {
                    best = fastest;
                    out.label = name;
                }
            }
            out.run = bench::timed(algorithms.at(out.label));
            return out;
        }

    private:
        std::shared_ptr<gloo::rendezvous::Context> context_;
    };

} // namespace

bool gloo_built() noexcept
{
    return true;
}

std::unique_ptr<gloo_workers> connect_gloo(int rank, int size, const gather_bytes& gather)
{
    return std::make_unique<tcp_workers>(rank, size, gather);
}

} // namespace overlap_bench

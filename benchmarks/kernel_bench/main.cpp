// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief Times packing, the sum in rank order and unpacking on the host beside a copy of the same bytes.
///
/// `kernel_bench --bytes 16M --benchmark_filter='run:4K'`
///
/// One worker's side of a bucket that holds one float matrix, split by rows or by columns into runs of two classes that take
/// turns. `sum` reads the elements of k trainers and writes the mean to all of them. `of_copy` is the bytes read and written per
/// second over those of `memcpy`, which copies as many bytes as are packed.

#include "alternating.hpp"

#include <sdp/detail/host/bucket_passes.hpp>

#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>

namespace {

using kernel_bench::shape;

class bucket_of_one_matrix {
public:
    explicit bucket_of_one_matrix(const shape& s)
        : holders_(s.holders)
        , matrix_(s)
        , tensors_(matrix_.model, matrix_.mine, sdp::memory_space::host, true)
        , gradient_(static_cast<std::size_t>(matrix_.mine.shape(matrix).product()))
        , store_(plan(), sdp::detail::make_buckets(matrix_.model, options().bucket_bytes), routes(), tensors_, options(), {})
        , work_(bound_store())
    {
        work_.begin_step({});
    }
    bucket_of_one_matrix(const bucket_of_one_matrix&) = delete;
    bucket_of_one_matrix& operator=(const bucket_of_one_matrix&) = delete;

    /// A step up to the stage named: the gradient filled and packed, those of the others there, their means there.
    void fill()
    {
        for (std::size_t i = 0; i < gradient_.size(); ++i)
            gradient_[i] = value(i);
    }
    void receive_gradients()
    {
        fill_sections([](const auto& peer) { return std::pair(peer.receive_at, peer.from_trainer); }, 1);
    }
    void receive_means()
    {
        fill_sections([](const auto& peer) { return std::pair(peer.send_at, peer.to_owner); }, 1000);
    }

    void pack() { work_.pack(0); }
    void sum() { work_.reduce(0, false); }
    void unpack() { work_.unpack(0); }

    /// Elements that are packed for a peer and differ from those of the gradient.
    [[nodiscard]] std::uint64_t wrong_packed()
    {
        std::uint64_t wrong = 0;
        std::vector<std::size_t> done(store_.peers().ranks.size(), 0);
        for_each_piece([&](const sdp::overlap_piece& piece, bool mine, std::size_t owner) {
            if (mine)
                return;
            const auto* packed = section(store_.buckets()[0].peers[owner].send_at);
            for_each_element(piece, [&](std::size_t at) { wrong += packed[done[owner]++] != value(at) ? 1 : 0; });
        });
        return wrong;
    }
    /// Elements of the gradient that are not the mean: computed here, or received.
    [[nodiscard]] std::uint64_t wrong_means()
    {
        std::uint64_t wrong = 0;
        for_each_piece([&](const sdp::overlap_piece& piece, bool mine, std::size_t owner) {
            float others = 0;
            for (const auto peer : store_.peers().classes[piece.sharing_class].trainers)
                if (peer != sdp::detail::peer_table::self)
                    others += from_peer(peer, 1);
            for_each_element(piece, [&](std::size_t at) {
                const float expected = mine ? (value(at) + others) / static_cast<float>(holders_) : from_peer(owner, 1000);
                wrong += gradient_[at] != expected ? 1 : 0;
            });
        });
        return wrong;
    }

    /// Bytes that are packed for peers; elements that this worker sums, in bytes.
    [[nodiscard]] std::size_t packed_bytes() const { return count(false) * sizeof(float); }
    [[nodiscard]] std::size_t summed_bytes() const { return count(true) * sizeof(float); }

private:
    static constexpr sdp::parameter_id matrix {0};

    [[nodiscard]] static float value(std::size_t i) { return static_cast<float>(i * 7 % 61); }
    [[nodiscard]] static float from_peer(std::size_t peer, int offset)
    {
        return static_cast<float>(4 * peer) + static_cast<float>(offset);
    }
    [[nodiscard]] static sdp::synchronizer_options options()
    {
        sdp::synchronizer_options out;
        out.route = sdp::route_choice::two_sided;
        return out;
    }
    [[nodiscard]] sdp::overlap_plan plan() const
    {
        return sdp::make_overlap_plan(matrix_.model, matrix_.residents, matrix_.mine);
    }
    [[nodiscard]] std::vector<sdp::detail::route_kind> routes() const
    {
        std::vector<sdp::detail::route_kind> out;
        for (const auto& c : plan().classes)
            out.push_back(c.position < 0 ? sdp::detail::route_kind::none : sdp::detail::route_kind::two_sided);
        return out;
    }
    [[nodiscard]] sdp::detail::bucket_buffers& bound_store()
    {
        sdp::tensor_view view;
        view.data = gradient_.data();
        view.type = sdp::element_type::f32;
        view.shape = matrix_.mine.shape(matrix);
        view.strides = sdp::row_major_strides(view.shape);
        tensors_.set_gradient(matrix, view);
        store_.allocate([&](std::size_t bytes) {
            memory_.resize(bytes / sizeof(float) + 1);
            return reinterpret_cast<std::byte*>(memory_.data());
        });
        return store_;
    }

    [[nodiscard]] float* section(std::size_t offset) { return reinterpret_cast<float*>(store_.at(0, offset)); }
    template <class Section> void fill_sections(Section section_of, int offset)
    {
        const auto& peers = store_.buckets()[0].peers;
        for (std::size_t i = 0; i < peers.size(); ++i) {
            const auto [at, elements] = section_of(peers[i]);
            std::fill_n(section(at), elements, from_peer(i, offset));
        }
    }
    template <class F> void for_each_piece(F f) const
    {
        const auto& p = store_.plan();
        for (const auto& piece : p.of(0))
            f(piece, p.owner_of(piece) == p.rank, store_.peers().classes[piece.sharing_class].trainers[piece.owner]);
    }
    /// Runs are walked here by hand, as a check of the library's walker.
    template <class F> void for_each_element(const sdp::overlap_piece& piece, F f) const
    {
        for (std::uint64_t row = 0; row < piece.rows; ++row)
            for (const auto& run : store_.plan().runs_of(piece))
                for (std::uint64_t i = 0; i < run.length; ++i)
                    f(static_cast<std::size_t>(piece.start + row * piece.stride + run.offset + i));
    }
    [[nodiscard]] std::size_t count(bool owned) const
    {
        std::size_t out = 0;
        for_each_piece([&](const sdp::overlap_piece& piece, bool mine, std::size_t) {
            out += mine == owned ? static_cast<std::size_t>(store_.plan().size_of(piece)) : 0;
        });
        return out;
    }

    int holders_;
    kernel_bench::alternating_matrix matrix_;
    sdp::detail::bound_tensors tensors_;
    std::vector<float> gradient_, memory_;
    sdp::detail::bucket_buffers store_;
    sdp::detail::bucket_passes work_;
};

[[nodiscard]] bench::results measure(const shape& s, const bench::selection& chosen, int rounds)
{
    bucket_of_one_matrix bucket(s);
    std::vector<float> from(bucket.packed_bytes() / sizeof(float), 1), to(from.size());
    std::vector<bench::contender> contenders;
    const auto add = [&](const char* name, auto prepare, auto run, auto check) {
        if (!chosen.has(name))
            return;
        auto& c = contenders.emplace_back();
        c.name = name;
        c.prepare = prepare;
        c.run = bench::timed(run);
        c.check = check;
    };
    add(
        "memcpy", [&] { std::fill(to.begin(), to.end(), 0.0F); },
        [&] { std::memcpy(to.data(), from.data(), bucket.packed_bytes()); },
        [&] { return static_cast<std::uint64_t>(std::count(to.begin(), to.end(), 0.0F)); });
    add(
        "pack", [&] { bucket.fill(); }, [&] { bucket.pack(); }, [&] { return bucket.wrong_packed(); });
    const auto up_to_sum = [&] {
        bucket.fill();
        bucket.pack();
        bucket.receive_gradients();
    };
    add(
        "sum", up_to_sum, [&] { bucket.sum(); },
        [&] {
            bucket.receive_means();
            bucket.unpack();
            return bucket.wrong_means();
        });
    add(
        "unpack",
        [&] {
            up_to_sum();
            bucket.sum();
            bucket.receive_means();
        },
        [&] { bucket.unpack(); }, [&] { return bucket.wrong_means(); });
    auto out = bench::measure(contenders, rounds, bench::alone());
    const auto packed = static_cast<double>(bucket.packed_bytes()), summed = static_cast<double>(bucket.summed_bytes());
    kernel_bench::add_rates(
        out, {{"memcpy", 2 * packed}, {"pack", 2 * packed}, {"unpack", 2 * packed}, {"sum", 2 * s.holders * summed}}, "memcpy");
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    return bench::guarded("kernel_bench", [&] {
        bench::program program("Times packing, sums and unpacking on the host.", 11);
        std::size_t bytes = std::size_t {16} << 20;
        std::vector<int> holders {2, 4};
        bench::add_size(program.flags(), "--bytes", bytes, "Of the tensor")
            ->check(CLI::Range(std::size_t {1} << 22, std::size_t {1} << 34));
        program.flags()
            .add_option("--holders", holders, "Holders of every element")
            ->delimiter(',')
            ->check(CLI::Range(2, 64))
            ->capture_default_str();
        program.parse(argc, argv);
        benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
        for (const auto& s : kernel_bench::shapes(bytes, holders))
            program.add({"host/" + kernel_bench::name_of(s), {"memcpy", "pack", "sum", "unpack"},
                [=](const auto& chosen, int rounds) { return measure(s, chosen, rounds); }});
        return program.lead();
    });
}

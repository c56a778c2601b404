// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// @file
/// @brief A tensor type of one's own: what it takes for the library to read and write it in place.
///
/// Many numerical codes keep matrices as LAPACK does: column by column, each column padded to a leading dimension. Such a
/// matrix is not contiguous and its rows run along the slow direction. The library has never heard of the type; ten lines
/// of `tensor_traits` tell it where the elements are.

#include <sdp/sdp.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace lapack_like {

struct dimensions {
    int rows = 0;
    int columns = 0;
};

/// Column-major, with padding below every column.
class matrix {
public:
    static constexpr int padding = 3;
    static constexpr double untouched = -7;

    explicit matrix(dimensions d)
        : dimensions_(d)
        , elements_(static_cast<std::size_t>(leading_dimension()) * static_cast<std::size_t>(d.columns), untouched)
    {
        for (int column = 0; column < d.columns; ++column)
            for (int row = 0; row < d.rows; ++row)
                at(row, column) = 0;
    }

    dimensions size() const { return dimensions_; }
    int leading_dimension() const { return dimensions_.rows + padding; }
    const double* begin_of_storage() const { return elements_.data(); }
    double& at(int row, int column)
    {
        return elements_[static_cast<std::size_t>(column) * static_cast<std::size_t>(leading_dimension())
            + static_cast<std::size_t>(row)];
    }
    bool padding_is_untouched()
    {
        for (int column = 0; column < dimensions_.columns; ++column)
            for (int row = dimensions_.rows; row < leading_dimension(); ++row)
                if (at(row, column) != untouched)
                    return false;
        return true;
    }

private:
    dimensions dimensions_;
    std::vector<double> elements_;
};

} // namespace lapack_like

// [tensor]
// Data and shape are required. Strides are given because the default is row-major and contiguous; the element type follows
// from the pointer, and the memory is the host's unless said otherwise.
template <> struct sdp::tensor_traits<lapack_like::matrix> {
    static const double* data(const lapack_like::matrix& a) { return a.begin_of_storage(); }
    static std::array<int, 2> shape(const lapack_like::matrix& a) { return {a.size().rows, a.size().columns}; }
    static std::array<int, 2> strides(const lapack_like::matrix& a) { return {1, a.leading_dimension()}; }
};
static_assert(sdp::tensor<lapack_like::matrix>);
// [tensor]

namespace {

using lapack_like::matrix;

void expect(bool holds, const std::string& what)
{
    if (!holds)
        throw std::runtime_error("this does not hold: " + what);
}

matrix matrix_of(const sdp::extents& shape)
{
    return matrix({static_cast<int>(shape[0]), static_cast<int>(shape[1])});
}

/// A gradient that tells where it came from: the element's place in the full matrix, and the worker.
double gradient_element(sdp::index_t place, int rank)
{
    return static_cast<double>(place + 1000 * (rank + 1));
}

void work(sdp::thread_communicator comm)
{
    // A model of doubles: the element type is part of the description, not of the adapter.
    sdp::model m;
    const auto hidden = m.add_group("hidden", 12);
    const auto weight
        = m.add_parameter("weight", {5, 12}, {.axes = {{1, hidden}}, .type = sdp::element_type::f64}); // columns are neurons

    sdp::data_parallel net(m, sdp::neuron_partition {.coverage = 0.5}, sdp::forward_masking {}, comm);
    const auto& slab = net.subnetwork().slabs(weight)[0];

    // Everything that takes a tensor takes the matrix: slice-wise filling, the exchange, slicing and assembling.
    matrix value = matrix_of(slab.shape), gradient = matrix_of(slab.shape);
    sdp::initialize(value, slab, [](sdp::index_t place) { return static_cast<double>(place); });
    sdp::initialize(gradient, slab, [&](sdp::index_t place) { return gradient_element(place, net.rank()); });
    net.bind(weight, value);
    net.ready(weight, gradient);
    net.finish();

    for (int column = 0; column < 12; ++column) {
        const auto here = static_cast<int>(slab.local(1, column));
        if (here < 0)
            continue; // that neuron is not held here
        double sum = 0;
        int holders = 0;
        for (const auto& unit : net.assignment().units(hidden))
            if (unit.begin <= column && column < unit.end)
                for (const int rank : net.assignment().holders(unit).ranks()) {
                    sum += gradient_element(column, rank);
                    ++holders;
                }
        for (int row = 0; row < 5; ++row)
            expect(gradient.at(row, here) == sum / holders + 12 * row, "the gradient is the mean over the neuron's holders");
    }
    expect(gradient.padding_is_untouched() && value.padding_is_untouched(), "padding is neither read nor written");

    matrix full({5, 12});
    net.assemble(weight, 0, full);
    if (net.rank() == 0)
        for (int row = 0; row < 5; ++row)
            for (int column = 0; column < 12; ++column)
                expect(full.at(row, column) == 12 * row + column, "the assembled matrix has every element in its place");

    // A tensor that does not fit is refused before anything is sent, in a sentence that names parameter and rank.
    try {
        net.ready(weight, full);
        expect(false, "a gradient of full size is refused");
    } catch (const sdp::error& e) {
        if (net.rank() == 0)
            std::printf("refused: %s\n", e.what());
    }
}

} // namespace

int main()
try {
    sdp::run_workers(4, work);
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "own_tensor: %s\n", e.what());
    return 1;
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "images.hpp"
#include "files.hpp"

#include <sdp/error.hpp>

#include <ATen/ATen.h>

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace {

using namespace trainer;
using namespace trainer_test;

/// A folder that goes when the test ends.
struct temporary_folder {
    explicit temporary_folder(const std::string& name)
        : path(std::filesystem::temp_directory_path()
            / ("sdp_images_" + name + std::to_string(std::hash<std::string> {}(std::filesystem::current_path()))))
    {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
    }
    ~temporary_folder() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string name(const std::string& file = {}) const { return (path / file).string(); }
    std::filesystem::path path;
};

bytes pixels(std::uint32_t images)
{
    bytes out;
    for (std::uint32_t i = 0; i < images; ++i)
        for (std::uint32_t at = 0; at < 784; ++at)
            out.push_back(pixel(i, at));
    return out;
}

bytes labels(std::uint32_t images)
{
    bytes out;
    for (std::uint32_t i = 0; i < images; ++i)
        out.push_back(static_cast<std::uint8_t>(i % 10));
    return out;
}

void write_fashion(const temporary_folder& folder, std::uint32_t images)
{
    for (const std::string which : {"train", "t10k"}) {
        write_compressed(folder.path / (which + "-images-idx3-ubyte.gz"), idx({2051, images, 28, 28}, pixels(images)));
        write_compressed(folder.path / (which + "-labels-idx1-ubyte.gz"), idx({2049, images}, labels(images)));
    }
}

/// Images that are one value throughout, which is their number, as is their label modulo ten.
image_data numbered(std::size_t training, std::size_t held_out)
{
    const auto make = [](std::size_t count) {
        image_set out {{1, 8}, {}, {}};
        for (std::size_t i = 0; i < count; ++i) {
            out.pixels.insert(out.pixels.end(), 64, static_cast<std::uint8_t>(i + 1));
            out.labels.push_back(static_cast<std::uint8_t>(i % 10));
        }
        return out;
    };
    return {make(training), make(held_out)};
}

} // namespace

TEST_CASE("both kinds of files are read, and told apart")
{
    const temporary_folder fashion("fashion"), cifar("cifar");
    write_fashion(fashion, 12);
    write_cifar(cifar.path, 3);
    CHECK(shape_of(fashion.name()).channels == 1);
    CHECK(shape_of(cifar.name()).side == 32);

    const auto a = read_images(fashion.name());
    CHECK(a.training.size() == 12);
    CHECK(a.held_out.pixels == pixels(12));
    CHECK(a.training.labels == labels(12));

    const auto b = read_images(cifar.name());
    REQUIRE(b.training.size() == 15);
    REQUIRE(b.held_out.size() == 3);
    for (std::uint32_t i = 0; i < 15; ++i) {
        CHECK(b.training.labels[i] == i % 10);
        for (std::uint32_t at = 0; at < 3072; at += 341)
            CHECK(b.training.image(i)[at] == pixel(i, at));
    }
    CHECK(b.held_out.image(1)[100] == pixel(16, 100));
}

TEST_CASE("files that are missing, cut off or something else are named")
{
    const temporary_folder folder("wrong");
    const auto refuses = [&](const std::string& message) {
        CHECK_THROWS_WITH_AS((void)read_images(folder.name()), doctest::Contains(message.c_str()), sdp::error);
    };
    const auto images = folder.path / "train-images-idx3-ubyte.gz", labelled = folder.path / "train-labels-idx1-ubyte.gz";
    refuses("has neither IDX files");
    write_fashion(folder, 4);
    write_compressed(images, idx({2049, 4, 28, 28}, pixels(4)));
    refuses("train-images-idx3-ubyte.gz' begins with 2049; expected 2051, which says bytes with 3 axes");
    write_compressed(images, idx({2051, 4, 32, 32}, pixels(4)));
    refuses("has images of 32 by 32 pixels; expected 28 by 28");
    write_compressed(images, idx({2051, 4, 28, 28}, pixels(3)));
    refuses("train-images-idx3-ubyte.gz' ends after 2368 bytes uncompressed; expected 3152");
    write_compressed(images, idx({2051, 4, 28, 28}, pixels(5)));
    refuses("goes on after the 3136 bytes that its header promises");
    write_compressed(images, idx({2051, 4, 28, 28}, pixels(4)));
    std::filesystem::resize_file(images, std::filesystem::file_size(images) / 2);
    refuses("train-images-idx3-ubyte.gz' ends after");
    write_fashion(folder, 4);
    write_compressed(labelled, idx({2049, 3}, labels(3)));
    refuses("train-labels-idx1-ubyte.gz' has 3 labels; expected one for each of 4 images");
    write_compressed(labelled, idx({2049, 4}, {1, 2, 10, 3}));
    refuses("train-labels-idx1-ubyte.gz' gives image 2 the label 10; expected 0 to 9");
    write_compressed(labelled, idx({2049}, {}));
    refuses("ends after 4 bytes uncompressed; expected 8");
    std::filesystem::remove(labelled);
    refuses("cannot read '" + labelled.string() + "': No such file or directory");

    write_cifar(folder.path, 2);
    refuses("has both IDX files");
    for (const std::string which : {"train", "t10k"})
        std::filesystem::remove(folder.path / (which + "-images-idx3-ubyte.gz"));
    CHECK(read_images(folder.name()).training.size() == 10);
    write(folder.path / "data_batch_3.bin", bytes(3000));
    refuses("data_batch_3.bin' has 3000 bytes; expected a multiple of 3073, which is a label and an image");
    write(folder.path / "data_batch_3.bin", bytes(3073, 77));
    refuses("data_batch_3.bin' gives image 0 the label 77; expected 0 to 9");
    std::filesystem::remove(folder.path / "test_batch.bin");
    write(folder.path / "data_batch_3.bin", cifar_batch(0, 1));
    refuses("cannot read '" + folder.name("test_batch.bin") + "': No such file or directory");
}

TEST_CASE("pixels have mean 0 and deviation 1 over the training set")
{
    const image_collection images(numbered(100, 4));
    double sum = 0, squares = 0;
    for (std::size_t i = 1; i <= 100; ++i) {
        const double v = images.values()[0][i];
        sum += v, squares += v * v;
    }
    CHECK(sum == doctest::Approx(0).epsilon(1e-4));
    CHECK(squares == doctest::Approx(100).epsilon(1e-4));
}

TEST_CASE("numbers are shuffled without loss, differently in each round")
{
    for (const std::uint64_t count : {1, 2, 3, 10, 64, 1000}) {
        std::set<std::uint64_t> seen;
        int moved = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            seen.insert(shuffled(i, count, 1, 2, 3));
            moved += shuffled(i, count, 1, 2, 3) != shuffled(i, count, 1, 2, 4) ? 1 : 0;
        }
        CHECK(seen.size() == count);
        CHECK(*seen.rbegin() == count - 1);
        if (count >= 64)
            CHECK(moved > static_cast<int>(count / 2));
    }
}

TEST_CASE("workers share the images out, and see each of theirs once before any again")
{
    const image_collection images(numbered(90, 20));
    const auto number = [&](const at::Tensor& image) { // the middle is never moved out of sight
        const auto& values = images.values()[0];
        return std::find(values.begin(), values.end(), image[0][4][4].item<float>()) - values.begin() - 1;
    };
    std::set<std::ptrdiff_t> all;
    for (int rank = 0; rank < 4; ++rank) {
        const image_shard mine(images, rank, 4, 5, 7);
        const std::int64_t size = rank < 2 ? 23 : 22;
        std::set<std::ptrdiff_t> seen;
        for (std::int64_t i = 0; i < size; ++i) {
            const auto [inputs, targets] = mine.read(1, static_cast<std::uint64_t>(i));
            const auto which = number(inputs[0]);
            CHECK(which % 4 == rank);
            CHECK(targets[0].item<std::int64_t>() == which % 10);
            seen.insert(which);
        }
        CHECK(seen.size() == static_cast<std::size_t>(size));
        all.insert(seen.begin(), seen.end());
        CHECK(at::equal(mine.read(4, 3).inputs, image_shard(images, rank, 4, 5, 7).read(4, 3).inputs));
        CHECK(at::equal(mine.read(4, 3).inputs.narrow(0, 2, 2), mine.read(2, 7).inputs)); // whatever the batch
        CHECK_FALSE(at::equal(mine.read(4, 3).inputs, image_shard(images, rank, 4, 5, 8).read(4, 3).inputs));
    }
    CHECK(all.size() == 90);
    CHECK_THROWS_WITH_AS(
        image_shard(images, 3, 4, 23, 7), "worker 3 has 22 training images; expected at least a batch of 23", sdp::error);
}

TEST_CASE("images are moved by up to an eighth of their side and mirrored half of the time")
{
    image_data data {{{1, 32}, bytes(1024), {3}}, {{1, 32}, bytes(1024), {3}}};
    data.training.pixels[16 * 32 + 10] = 255; // one bright pixel
    const image_collection images(data);
    const image_shard mine(images, 0, 1, 1, 7);
    std::set<std::int64_t> rows, columns;
    for (std::uint64_t i = 0; i < 400; ++i) {
        const auto at = mine.read(1, i).inputs.argmax().item<std::int64_t>();
        rows.insert(at / 32);
        columns.insert(at % 32);
    }
    CHECK(rows == std::set<std::int64_t> {12, 13, 14, 15, 16, 17, 18, 19, 20});
    std::set<std::int64_t> expected;
    for (std::int64_t shift = -4; shift <= 4; ++shift)
        expected.insert({10 + shift, 31 - 10 - shift});
    CHECK(columns == expected);
}

TEST_CASE("held-out batches are evenly spaced images as they are")
{
    const image_collection images(numbered(10, 20));
    const auto batches = held_out_batches(images, 2, 5);
    REQUIRE(batches.size() == 2);
    for (std::int64_t i = 0; i < 10; ++i) {
        const auto& b = batches[static_cast<std::size_t>(i / 5)];
        CHECK(b.targets[i % 5].item<std::int64_t>() == 2 * i % 10);
        CHECK(b.inputs[i % 5].eq(images.values()[0][static_cast<std::size_t>(2 * i + 1)]).all().item<bool>());
    }
    CHECK_THROWS_WITH_AS(
        (void)held_out_batches(images, 3, 7), "there are 20 held-out images; expected 21 for 3 batches of 7", sdp::error);
}

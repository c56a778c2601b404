// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "image_files.hpp"
#include "common/settings/sentence.hpp"

#include <sdp/error.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

namespace trainer {

namespace {
    using bytes = std::vector<std::uint8_t>;

    constexpr image_shape fashion {1, 28}, cifar {3, 32};
    constexpr std::size_t classes = 10;

    std::string in(const std::string& folder, const std::string& name)
    {
        return (std::filesystem::path(folder) / name).string();
    }

    /// @throws sdp::error unless it is a file
    std::size_t size_of(const std::string& path)
    {
        std::error_code status;
        const auto size = std::filesystem::file_size(path, status); // fails for what has no size, such as a directory
        if (status)
            fail("cannot read '", path, "': ", status.message());
        return size;
    }

    bool is_idx(const std::string& folder)
    {
        const auto has = [&](const char* name) { return std::filesystem::exists(in(folder, name)); };
        const bool idx = has("train-images-idx3-ubyte.gz") || has("t10k-images-idx3-ubyte.gz");
        const bool batches = has("data_batch_1.bin") || has("test_batch.bin");
        if (idx == batches)
            fail("'", folder, "' has ", idx ? "both" : "neither",
                " IDX files (train-images-idx3-ubyte.gz ...) and binary batches (data_batch_1.bin ...); expected one of them");
        return idx;
    }

    /// A file of bytes in an array with a header, behind gzip.
    class idx_file {
    public:
        explicit idx_file(std::string path)
            : path_(std::move(path))
        {
            (void)size_of(path_);
            file_.reset(gzopen(path_.c_str(), "rb"));
            if (!file_)
                fail("cannot read '", path_, "'");
        }

        /// The extents of an array of so many axes.
        std::vector<std::size_t> header(std::size_t axes)
        {
            const auto magic = word(), expected = 0x0800 + axes;
            if (magic != expected)
                fail("'", path_, "' begins with ", magic, "; expected ", expected, ", which says bytes with ", axes, " axes");
            std::vector<std::size_t> out;
            for (std::size_t i = 0; i < axes; ++i)
                out.push_back(word());
            return out;
        }

        /// Reads the data after the header, which must have this many bytes.
        bytes rest(std::size_t size)
        {
            bytes out(size);
            read(out);
            std::uint8_t more = 0;
            if (gzread(file_.get(), &more, 1) > 0)
                fail("'", path_, "' goes on after the ", size, " bytes that its header promises");
            return out;
        }

    private:
        std::size_t word()
        {
            std::array<std::uint8_t, 4> four {};
            read(four);
            return std::size_t {four[0]} << 24 | std::size_t {four[1]} << 16 | std::size_t {four[2]} << 8 | four[3];
        }

        void read(std::span<std::uint8_t> to)
        {
            while (!to.empty()) {
                const auto length = static_cast<unsigned>(std::min<std::size_t>(to.size(), 1 << 24));
                const int got = gzread(file_.get(), to.data(), length);
                read_ += got > 0 ? static_cast<std::size_t>(got) : 0;
                if (got != static_cast<int>(length)) {
                    int status = Z_OK;
                    const char* const what = gzerror(file_.get(), &status);
                    fail("'", path_, "' ends after ", read_, " bytes uncompressed; expected ",
                        read_ + to.size() - static_cast<std::size_t>(std::max(got, 0)),
                        status == Z_OK || status == Z_STREAM_END ? "" : ": ",
                        status == Z_OK || status == Z_STREAM_END ? "" : what);
                }
                to = to.subspan(length);
            }
        }

        struct closing {
            void operator()(gzFile_s* f) const { gzclose(f); }
        };
        std::string path_;
        std::unique_ptr<gzFile_s, closing> file_;
        std::size_t read_ = 0;
    };

    void check_labels(const std::string& path, std::span<const std::uint8_t> labels)
    {
        for (std::size_t i = 0; i < labels.size(); ++i)
            if (labels[i] >= classes)
                fail("'", path, "' gives image ", i, " the label ", int {labels[i]}, "; expected 0 to ", classes - 1);
    }

    image_set read_idx(const std::string& folder, const std::string& which)
    {
        const auto images_path = in(folder, which + "-images-idx3-ubyte.gz");
        const auto labels_path = in(folder, which + "-labels-idx1-ubyte.gz");
        image_set out {fashion, {}, {}};
        idx_file images(images_path), labels(labels_path);
        const auto extents = images.header(3);
        const auto side = static_cast<std::size_t>(fashion.side);
        if (extents[1] != side || extents[2] != side)
            fail("'", images_path, "' has images of ", extents[1], " by ", extents[2], " pixels; expected ", side, " by ", side);
        const auto count = labels.header(1)[0];
        if (count != extents[0])
            fail("'", labels_path, "' has ", count, " labels; expected one for each of ", extents[0], " images");
        out.pixels = images.rest(count * fashion.size());
        out.labels = labels.rest(count);
        check_labels(labels_path, out.labels);
        return out;
    }

    /// Adds the images of a file of records: a label, then the pixels.
    void add_records(const std::string& path, image_set& to)
    {
        const auto size = size_of(path), record = 1 + cifar.size();
        if (size == 0 || size % record != 0)
            fail("'", path, "' has ", size, " bytes; expected a multiple of ", record, ", which is a label and an image");
        bytes content(size);
        std::ifstream file(path, std::ios::binary);
        if (!file.read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(size)))
            fail("cannot read '", path, "'");
        bytes labels;
        for (std::span<const std::uint8_t> left = content; !left.empty(); left = left.subspan(record)) {
            labels.push_back(left.front());
            to.pixels.insert(to.pixels.end(), left.begin() + 1, left.begin() + static_cast<std::ptrdiff_t>(record));
        }
        check_labels(path, labels);
        to.labels.insert(to.labels.end(), labels.begin(), labels.end());
    }
} // namespace

image_shape shape_of(const std::string& folder)
{
    return is_idx(folder) ? fashion : cifar;
}

image_data read_images(const std::string& folder)
{
    if (is_idx(folder))
        return {read_idx(folder, "train"), read_idx(folder, "t10k")};
    image_data out {{cifar, {}, {}}, {cifar, {}, {}}};
    for (const char* number : {"1", "2", "3", "4", "5"})
        add_records(in(folder, std::string("data_batch_") + number + ".bin"), out.training);
    add_records(in(folder, "test_batch.bin"), out.held_out);
    return out;
}

} // namespace trainer

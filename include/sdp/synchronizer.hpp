// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once
/// @file
/// @brief The step: where plan, communicator and tensors meet.
///
/// The host computes gradients and says `ready(parameter)` as each becomes final; whole buckets are exchanged while it
/// computes on. After `finish()` each gradient holds the mean over its holders. Results do not depend on bucket size,
/// timing, route or communicator: every sum runs over the trainers in rank order (but for `route_choice::native`).

#include <sdp/detail/exchange/bound_tensors.hpp>
#include <sdp/detail/exchange/step_weights.hpp>
#include <sdp/detail/step/assembly.hpp>
#include <sdp/detail/step/distribution.hpp>
#include <sdp/detail/step/engine.hpp>
#include <sdp/detail/step/progress_thread.hpp>
#include <sdp/detail/step/rank_order_sums.hpp>
#include <sdp/detail/step/readiness.hpp>
#include <sdp/overlap/make_plan.hpp>
#include <sdp/traffic.hpp>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace sdp {

/// Exchanges gradients and values of one worker's subnetwork. Calls marked *collective* are made by all ranks alike.
///
/// A step is: `ready` for every trained parameter (in any order; backward order hides most), `finish`, if wanted
/// `gradient_norm`, the host's optimizer, `publish_values`.
template <communicator C> class synchronizer {
public:
    /// Does not compare the ranks' descriptions and options; `data_parallel` and `make_synchronizer` do.
    /// @throws sdp::input_error on options outside their range, or a communicator of another size
    synchronizer(sdp::model m, sdp::residency r, C comm, const synchronizer_options& options = {})
        : model_(std::move(m))
        , residency_(std::move(r))
        , subnetwork_(model_, residency_, checked(model_, comm, residency_, options), options.local.layout)
        , options_(options)
        , tensors_(model_, subnetwork_, engine::space, engine::contiguous_only)
        , engine_(make_overlap_plan(model_, residency_, subnetwork_),
              detail::make_buckets(model_, options.bucket_bytes, engine::most_parameters), std::move(comm), tensors_, options,
              tensors_.gradient_sizes())
        , sums_(engine_.comm(), options.local.timeout)
        , readiness_(model_, subnetwork_, engine_.buckets())
    {
        if (options_.local.progress_thread)
            thread_.start([this] {
                engine_.progress();
                return engine_.under_way();
            });
    }

    // Its parts refer to each other.
    synchronizer(const synchronizer&) = delete;
    synchronizer& operator=(const synchronizer&) = delete;

    [[nodiscard]] const sdp::model& model() const noexcept { return model_; }
    [[nodiscard]] const sdp::residency& residency() const noexcept { return residency_; }
    [[nodiscard]] const sdp::subnetwork& subnetwork() const noexcept { return subnetwork_; }
    [[nodiscard]] const overlap_plan& plan() const noexcept { return engine_.plan(); }
    [[nodiscard]] const synchronizer_options& options() const noexcept { return options_; }
    [[nodiscard]] C& comm() noexcept { return engine_.comm(); }
    [[nodiscard]] int rank() const noexcept { return subnetwork_.rank(); }
    [[nodiscard]] int world() const noexcept { return subnetwork_.world(); }

    /// Registers the tensor with the values of a parameter: of its slab `slab`, or of all stored elements if there is only one.
    /// `publish_values`, owner updates, and `assemble` and `distribute` without a tensor need it, and it must outlive them.
    /// @throws sdp::input_error unless the tensor has the slab's shape and the parameter's element type, in host memory
    template <class T> void bind(parameter_id id, const T& values, std::size_t slab = 0)
    {
        tensors_.bind_value(id, slab, view_of(values));
    }

    /// The same for one of the local tensors that `subnetwork().slabs(id)` lists:
    /// `for (const auto& s : net.subnetwork().slabs(id)) net.bind(s, tensor_of(s));`
    /// @throws sdp::input_error as above, and if it is not one of this worker's
    template <class T> void bind(const slab& s, const T& values)
    {
        tensors_.bind_value(s.parameter, subnetwork_.number_of(s), view_of(values));
    }

    /// Registers the tensor of a parameter's gradient, for hosts whose gradients keep their address.
    /// @throws sdp::input_error as `bind`, or if this rank does not train the parameter
    template <class T> void bind_gradient(parameter_id id, const T& gradient)
    {
        require_trained(id);
        tensors_.set_gradient(id, checked_gradient(view_of(gradient), id));
    }

    /// With `shared_gradients`: where the gradient of a parameter is to be, as a contiguous tensor of its shape. The memory is
    /// the library's and lives as long as it; where peers cannot reach each other's, it is ordinary memory.
    /// @throws sdp::input_error without that option, or if this rank does not train the parameter
    [[nodiscard]] tensor_view gradient_memory(parameter_id id)
    {
        if (!options_.shared_gradients)
            detail::fail("gradient_memory on rank ", rank(), " without the option shared_gradients; expected it to be set");
        require_trained(id);
        tensor_view out;
        out.shape = subnetwork_.shape(id);
        out.strides = row_major_strides(out.shape);
        out.type = model_[id].type();
        out.data = engine_.gradient_memory(index_of(id));
        return out;
    }

    /// Collective. Starts a step whose mean is weighted: by the samples or tokens behind each worker's gradients, say. A worker
    /// of weight 0 counts for nothing; where all holders of an element have weight 0, its gradient becomes 0.
    /// @throws sdp::input_error, on all ranks, on a weight that is negative or not finite, or if all are 0
    void begin_step(double weight)
    {
        const auto lock = thread_.lock();
        if (sync_paused_)
            return;
        if (open_)
            detail::fail("begin_step on rank ", rank(), " while a step is open; expected it before the first ready");
        // Checks of this rank alone follow the exchange: a rank that threw here would leave the others waiting.
        weights_.assign(static_cast<std::size_t>(world()), 0.0);
        weights_[static_cast<std::size_t>(rank())] = weight;
        step_start_ = engine_.sent();
        reduce_scalars(weights_);
        detail::check_weights(weights_);
        open(weights_);
    }

    /// Says that a gradient is final for this step. Starts the exchange of its bucket once all of that is ready. Does nothing
    /// for a parameter that this rank does not train, nor while the exchange is paused.
    /// @throws sdp::input_error if it was ready before in this step, or has no bound gradient
    void ready(parameter_id id)
    {
        const auto lock = thread_.lock();
        if (sync_paused_ || !subnetwork_.trains(tensors_.known(id)))
            return;
        static_cast<void>(tensors_.gradient(id));
        mark(id);
    }

    /// The same for a host whose gradients move: takes the tensor, which must outlive the step.
    template <class T> void ready(parameter_id id, const T& gradient) { ready_in(id, view_of(gradient)); }

    /// Makes progress with all exchanges; never waits. Communicators without a progress of their own move only in calls like
    /// this.
    void progress()
    {
        const auto lock = thread_.lock();
        if (open_ && !sync_paused_)
            engine_.progress();
    }

    /// Collective. Waits until every trained gradient holds its mean (under owner update: those elements that are owned).
    /// @throws sdp::input_error naming a parameter that was not ready
    void finish()
    {
        const auto lock = thread_.lock();
        if (sync_paused_)
            return;
        if (!open_)
            open({});
        readiness_.require_all();
        launch_complete();
        engine_.drain();
        open_ = false;
        finished_ = true;
    }

    /// All bound gradients are final: `ready` for each in backward order, and `finish`.
    void synchronize()
    {
        for (std::size_t p = model_.parameters().size(); p-- > 0;)
            ready(parameter_id(p));
        finish();
    }

    /// Collective, after `finish`. Euclidean norm of the mean gradient of the whole model; every element counts once, however
    /// many hold it. Summed in double in a fixed order: the same bits on all ranks.
    /// @throws sdp::input_error before the first finished step, or within a step
    /// @throws sdp::nonfinite_error on every rank if it is NaN or infinite, naming a parameter and the rank that owns it
    [[nodiscard]] double gradient_norm()
    {
        const auto lock = thread_.lock();
        if (open_ || !finished_)
            detail::fail("gradient_norm on rank ", rank(), " without a finished step; expected it after finish");
        std::uint64_t bytes = 0;
        const auto total = sums_.all_reduce_squares(engine_.owned_square_norm(), model_.parameters().size(), bytes);
        engine_.count_control(bytes);
        if (total.rank >= 0)
            throw nonfinite_error(detail::text("the global gradient norm is not finite: parameter '",
                                      tensors_.name(parameter_id(static_cast<std::size_t>(total.nonfinite_parameter))),
                                      "' has a NaN or infinite mean gradient among the elements that rank ",
                                      static_cast<int>(total.rank), " owns; expected finite gradients"),
                static_cast<int>(total.rank));
        return std::sqrt(total.sum);
    }

    /// Collective, after the host's update. Sends fresh values from their owners to the workers that store them without
    /// training, and under owner update to all that store them. Sends nothing under forward masking with `average`.
    /// @throws sdp::input_error if values that take part are not bound
    void publish_values()
    {
        const auto lock = thread_.lock();
        for (std::size_t p = 0; p < model_.parameters().size(); ++p)
            for (const auto& piece : plan().of(p))
                if (takes_part(piece))
                    static_cast<void>(tensors_.value(parameter_id(p), piece.slab));
        engine_.publish_values();
    }

    /// RAII guard: the exchange resumes on destruction.
    class [[nodiscard]] pause {
    public:
        explicit pause(synchronizer& s) noexcept
            : synchronizer_(&s)
        {
            ++s.sync_paused_;
        }
        pause(const pause&) = delete;
        pause& operator=(const pause&) = delete;
        ~pause() { --synchronizer_->sync_paused_; }

    private:
        synchronizer* synchronizer_;
    };

    /// While the returned guard lives, `begin_step`, `ready` and `finish` do nothing: for the inner micro-batches of gradient
    /// accumulation. All ranks pause alike.
    pause no_sync() noexcept { return pause(*this); }

    /// The shard this rank owns, laid out flat: parameter by parameter in order of declaration.
    [[nodiscard]] std::vector<owned_range> owned_ranges() const { return detail::owned_ranges(plan()); }
    [[nodiscard]] index_t owned_elements() const
    {
        const auto ranges = owned_ranges();
        return ranges.empty() ? 0 : ranges.back().offset + ranges.back().size;
    }

    /// Copies the mean gradients of the owned elements to a flat tensor; after `finish`.
    /// @throws sdp::input_error, as the next two, unless the tensor has `owned_elements()` consecutive elements of the model's
    /// type
    template <class T> void read_owned_gradients(const T& flat)
    {
        copy_owned(view_of(flat), detail::shard_copy::from_tensors, detail::owned_kind::gradients);
    }
    /// Copies the owned values to a flat tensor.
    template <class T> void read_owned_values(const T& flat)
    {
        copy_owned(view_of(flat), detail::shard_copy::from_tensors, detail::owned_kind::values);
    }
    /// Copies a flat tensor back to the owned values; `publish_values` then sends them.
    template <class T> void write_owned_values(const T& flat)
    {
        copy_owned(view_of(flat), detail::shard_copy::to_tensors, detail::owned_kind::values);
    }

    /// Collective. Replaces each value by its sum over the workers, added in rank order: the same bits on all ranks.
    void reduce_scalars(std::span<double> values)
    {
        if (values.empty())
            return;
        const auto lock = thread_.lock();
        engine_.count_control(sums_.all_reduce(values));
    }

    /// Collective. The sum of a number over the workers, added in rank order: the same bits on all ranks.
    [[nodiscard]] double sum(double value)
    {
        reduce_scalars(std::span(&value, 1));
        return value;
    }

    /// Collective. One value from each worker, by rank. All of the same type.
    template <class T>
    requires std::is_trivially_copyable_v<T> && std::default_initializable<T>
    [[nodiscard]] std::vector<T> all_gather(const T& value)
    {
        const auto lock = thread_.lock();
        detail::root_collectives<C> collectives(comm(), options_.local.timeout);
        std::vector<T> all(static_cast<std::size_t>(world()));
        collectives.gather(0, std::span(&value, 1), all);
        collectives.broadcast(0, std::span(all));
        engine_.count_control(detail::root_collective_bytes(rank(), world(), sizeof value, all.size() * sizeof value));
        return all;
    }

    /// Collective. Returns once all workers have called it.
    void barrier() { static_cast<void>(sum(0)); }

    /// Collective. The full value of a parameter, put together at `root` from its owners; `full` is ignored elsewhere.
    /// @throws sdp::input_error on every rank, if values are not bound, `full` does not fit at the root, or ranks name another
    ///         parameter or root
    template <class T> void assemble(parameter_id id, int root, const T& full)
    {
        tensor_view whole;
        std::exception_ptr refused; // by the tensor's trait
        try {
            if (rank() == root)
                whole = view_of(full);
        } catch (...) {
            refused = std::current_exception();
        }
        put_together(id, root, whole, refused);
    }

    /// Collective. The same for any tensor with the shape of the trained values, such as a moment of the optimizer: each worker
    /// that trains the parameter gives its own, of the shape `subnetwork().shape(id)`; those of others are ignored.
    /// @throws sdp::input_error on every rank, if a tensor has another shape or element type, or ranks name another parameter or
    /// root
    template <class T, class Full> void assemble(parameter_id id, const T& local, int root, const Full& full)
    {
        const auto lock = thread_.lock();
        tensor_view mine, whole;
        agree_to("assemble", id, root, [&] {
            if (subnetwork_.trains(id))
                mine = tensors_.checked(view_of(local), id, subnetwork_.shape(id), "local tensor");
            if (rank() == root)
                whole = tensors_.checked(view_of(full), id, model_[id].shape, "full tensor", memory_space::host);
        });
        std::vector<std::byte> scratch;
        std::optional<tensor_view> readable; // copied to the host once, where it has to be
        engine_.count_control(
            assembly_.run(comm(), plan(), model_, residency_, id, root, whole, options_.local.timeout, [&](std::size_t) {
                if (!readable) // what is owned is trained, and what is trained is the first local tensor
                    readable = engine_.readable(mine, scratch);
                return *readable;
            }));
    }

    /// Collective. Sends the full value of a parameter from `root` into the bound values of all workers that store it, to each
    /// its own elements and no others. `full` is ignored elsewhere. For initial values and loaded files; the inverse of
    /// `assemble`.
    /// @throws sdp::input_error on every rank, if `full` does not fit at the root, values are not bound or are on a device, or
    /// ranks
    ///         name another parameter or root
    /// @throws sdp::timeout_error if a peer does not take part
    template <class Full> void distribute(parameter_id id, int root, const Full& full)
    {
        const auto lock = thread_.lock();
        std::vector<detail::wanted_part> parts;
        tensor_view whole;
        agree_to("distribute", id, root, [&] {
            const auto slabs = subnetwork_.slabs(id);
            for (std::size_t i = 0; i < slabs.size(); ++i)
                parts.push_back(
                    {&slabs[i], tensors_.checked(tensors_.value(id, i), id, slabs[i].shape, "value", memory_space::host)});
            if (rank() == root)
                whole = tensors_.checked(view_of(full), id, model_[id].shape, "full tensor", memory_space::host);
        });
        engine_.count_control(detail::distribute(comm(), root, whole, parts, options_.local.timeout));
    }

    /// Collective. The same into a tensor of the shape `subnetwork().shape(id)` in host memory. It is ignored where nothing of
    /// the parameter is stored, and may be empty where nothing of it is trained: moments exist only where there is a gradient.
    /// @throws sdp::input_error on every rank, if a tensor has another shape or element type, or ranks name another parameter or
    /// root
    /// @throws sdp::timeout_error if a peer does not take part
    template <class Full, class T> void distribute(parameter_id id, int root, const Full& full, const T& local)
    {
        const auto lock = thread_.lock();
        std::vector<detail::wanted_part> parts;
        tensor_view whole;
        agree_to("distribute", id, root, [&] {
            if (const auto view = view_of(local); subnetwork_.trains(id) || (subnetwork_.stores(id) && view.size() > 0))
                parts.push_back({&subnetwork_.slabs(id).front(),
                    tensors_.checked(view, id, subnetwork_.shape(id), "local tensor", memory_space::host)});
            if (rank() == root)
                whole = tensors_.checked(view_of(full), id, model_[id].shape, "full tensor", memory_space::host);
        });
        engine_.count_control(detail::distribute(comm(), root, whole, parts, options_.local.timeout));
    }

    /// Traffic since the start of the current or last step, and since construction.
    [[nodiscard]] traffic step_traffic() const
    {
        const auto lock = thread_.guard();
        return engine_.sent() - step_start_;
    }
    [[nodiscard]] traffic total_traffic() const
    {
        const auto lock = thread_.guard();
        return engine_.sent();
    }
    /// Routes of this worker's gradients, with the number of elements of each.
    [[nodiscard]] std::vector<route_use> routes() const { return engine_.routes(); }
    /// Bytes that gradients and values are packed into.
    [[nodiscard]] std::size_t buffer_bytes() const noexcept { return engine_.buffer_bytes(); }

private:
    [[nodiscard]] static int checked(
        const sdp::model& m, const C& comm, const sdp::residency& r, const synchronizer_options& options)
    {
        detail::check_options(options);
        if (comm.size() != r.world())
            detail::fail("the communicator has ", comm.size(), " ranks, but the residency was made for ", r.world());
        detail::check_route<C>(options, engine::own_all_reduce);
        for (const auto& p : m.parameters())
            engine::check_type(p.type());
        return comm.rank();
    }

    void ready_in(parameter_id id, const tensor_view& gradient)
    {
        const auto lock = thread_.lock();
        if (sync_paused_ || !subnetwork_.trains(tensors_.known(id)))
            return;
        const auto view = checked_gradient(gradient, id);
        if (open_)
            readiness_.require_first(id); // before the view is changed
        tensors_.set_gradient(id, view);
        mark(id);
    }

    void put_together(parameter_id id, int root, const tensor_view& full, const std::exception_ptr& refused)
    {
        const auto lock = thread_.lock();
        tensor_view whole;
        agree_to("assemble", id, root, [&] {
            if (refused)
                std::rethrow_exception(refused);
            if (rank() == root)
                whole = tensors_.checked(full, id, model_[id].shape, "full tensor", memory_space::host);
            if (subnetwork_.trains(id))
                static_cast<void>(tensors_.value(id, 0)); // throws if the trained part, which has what is owned, is not bound
        });
        std::vector<std::byte> scratch;
        std::optional<std::pair<std::size_t, tensor_view>> known;
        engine_.count_control(
            assembly_.run(comm(), plan(), model_, residency_, id, root, whole, options_.local.timeout, [&](std::size_t slab) {
                if (!known || known->first != slab) // else the host has it already
                    known.emplace(slab, engine_.readable(tensors_.value(id, slab), scratch));
                return known->second;
            }));
    }

    void require_trained(parameter_id id) const
    {
        if (!subnetwork_.trains(tensors_.known(id)))
            detail::fail("parameter '", tensors_.name(id), "' is not trained on rank ", rank(), ", so it has no gradient");
    }

    /// Collective. Calls `prepare`, which throws if this rank cannot take part; then all ranks throw, so none waits for it.
    template <class Prepare> void agree_to(std::string_view call, parameter_id id, int root, Prepare prepare)
    {
        std::exception_ptr refused;
        try {
            static_cast<void>(tensors_.known(id));
            if (root < 0 || root >= world())
                detail::fail(call, " was called with root ", root, " on rank ", rank(), "; expected 0 to ", world() - 1);
            prepare();
        } catch (...) { // a tensor's trait may throw anything
            refused = std::current_exception();
        }
        struct wish {
            std::uint64_t parameter;
            std::int32_t root, refused;
        };
        const auto wishes = all_gather(wish {index_of(id), root, refused ? 1 : 0});
        if (refused)
            std::rethrow_exception(refused);
        for (std::size_t r = 0; r < wishes.size(); ++r) {
            if (wishes[r].refused != 0)
                throw input_error(detail::text(call, " of parameter '", tensors_.name(id), "' on rank ", rank(), ": rank ", r,
                                      " cannot take part; its own error says why"),
                    static_cast<int>(r));
            if (wishes[r].parameter != wishes[0].parameter || wishes[r].root != wishes[0].root)
                detail::fail(call, ": rank ", r, " names parameter number ", wishes[r].parameter, " and root ", wishes[r].root,
                    ", rank 0 names ", wishes[0].parameter, " and ", wishes[0].root, "; expected the same on all ranks");
        }
    }

    void copy_owned(const tensor_view& flat, detail::shard_copy direction, detail::owned_kind kind)
    {
        detail::check_shard(plan(), model_, flat, engine::space);
        detail::for_each_owned(plan(), [&](std::size_t p, const overlap_piece& piece) { // all have to be bound
            if (kind == detail::owned_kind::gradients)
                static_cast<void>(tensors_.gradient(parameter_id(p)));
            else
                static_cast<void>(tensors_.value(parameter_id(p), piece.slab));
        });
        engine_.copy_owned(flat, direction, kind);
    }

    [[nodiscard]] tensor_view checked_gradient(const tensor_view& view, parameter_id id) const
    {
        const auto out = tensors_.checked_gradient(view, id);
        if (engine_.must_be_shared(index_of(id)) && out.data != engine_.gradient_memory(index_of(id)))
            detail::fail("parameter '", tensors_.name(id), "': with shared_gradients, the gradient on rank ", rank(),
                " must lie in gradient_memory; a tensor elsewhere was given");
        return out;
    }

    void open(std::span<const double> weights)
    {
        if (weights.empty())
            step_start_ = engine_.sent();
        readiness_.begin_step();
        engine_.begin_step(weights);
        open_ = true;
    }

    void mark(parameter_id id)
    {
        if (!open_)
            open({});
        readiness_.mark(id);
        launch_complete();
        engine_.progress();
        if (engine_.under_way())
            thread_.wake();
    }

    void launch_complete()
    {
        while (readiness_.complete(engine_.launched()))
            engine_.launch();
    }

    /// Returns true if this rank sends or receives the value of a piece.
    [[nodiscard]] bool takes_part(const overlap_piece& piece) const noexcept
    {
        const auto& c = plan().class_of(piece);
        return !c.readers.empty() || (options_.update == update_mode::owner_update && c.trainers.size() > 1);
    }

    using engine = detail::engine_of<C>;

    sdp::model model_;
    sdp::residency residency_;
    sdp::subnetwork subnetwork_;
    synchronizer_options options_;
    detail::bound_tensors tensors_;
    engine engine_;
    detail::rank_order_sums<C> sums_;
    detail::assembly assembly_;
    detail::readiness readiness_;
    std::vector<double> weights_; ///< by rank, in a weighted step
    traffic step_start_;
    int sync_paused_ = 0;
    bool open_ = false;
    bool finished_ = false; ///< some step was
    mutable detail::progress_thread thread_; ///< last, so that it ends first
};

} // namespace sdp

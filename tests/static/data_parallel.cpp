// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/archetypes.hpp"

#include <sdp/data_parallel.hpp>
#include <sdp/random.hpp>

using minimal_parallel
    = sdp::data_parallel<archetypes::minimal_policy, archetypes::minimal_regime, archetypes::minimal_communicator>;

// Everything inside is compiled with types that offer no more than the concepts require. The base is named too: an
// explicit instantiation does not reach the members of a base.
template class sdp::synchronizer<archetypes::minimal_communicator>;
template class sdp::data_parallel<archetypes::minimal_policy, archetypes::minimal_regime, archetypes::minimal_communicator>;

// Member templates are compiled where they are called.
void use(minimal_parallel& net, sdp::parameter_id p, const archetypes::minimal_tensor& t, const sdp::slab& s);

void use(minimal_parallel& net, sdp::parameter_id p, const archetypes::minimal_tensor& t, const sdp::slab& s)
{
    net.bind(p, t);
    net.bind_gradient(p, t);
    net.ready(p, t);
    net.read_owned_gradients(t);
    net.read_owned_values(t);
    net.write_owned_values(t);
    net.assemble(p, 0, t);
    sdp::slice(t, t, s);
    sdp::unslice(t, t, s);
    sdp::initialize(t, s, [](sdp::index_t) { return 0.0; });
}

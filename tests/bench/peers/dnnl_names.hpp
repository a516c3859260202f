// Short names of oneDNN's for the programs written by hand.
#pragma once

#include <dnnl.hpp>

namespace dualtape::bench::names {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using Dims = memory::dims;
using Tag = memory::format_tag;

inline constexpr auto f32 = memory::data_type::f32;

// Of these sizes, in the layout a primitive asks for.
inline memory::desc any(const Dims& dims) { return {dims, f32, Tag::any}; }

}  // namespace dualtape::bench::names

// What the files of calls share. Private.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <dualtape/modes/call.hpp>

namespace dualtape::detail {

// The operator of all calls.
const Op& call_operator();

// One node that runs `function` for `size` members one after the other. Arguments and results have
// the batch axis in front; the arguments listed in `same` are the same for all members, without it.
std::vector<Var> call_for_members(const std::shared_ptr<const Function>& function,
                                  std::span<const In> arguments, std::int64_t size,
                                  const Ints& same);
// One node that runs `function`, which is linear in its arguments from `first_linear` on.
std::vector<Var> call_linear(const std::shared_ptr<const Function>& function,
                             std::span<const In> arguments, std::size_t first_linear);

// What one run of a function costs: the sum of its nodes, before any pass.
Cost cost_of(const Function& function, const CompileOptions& options);

// Functions made of another one, once each: (inputs, tangents of the active ones) -> tangents of
// all outputs; for one that is linear in its inputs from `first_linear` on, (the others, cotangents
// of the outputs) -> cotangents of the linear inputs; and of all members at once, where those
// inputs have the batch axis.
std::shared_ptr<const Function> tangents_of(const Function& function,
                                            const std::vector<std::size_t>& active);
std::shared_ptr<const Function> transpose_of(const Function& function, std::size_t first_linear);
// The function that transpose_of() then gives, where it has made none yet.
void give_transpose(const Function& function, std::size_t first_linear,
                    const std::function<std::shared_ptr<const Function>()>& make);
std::shared_ptr<const Function> batch_of(const Function& function, const std::vector<bool>& batched,
                                         std::int64_t size);

// The tangents of a call of a function with rules of its own.
std::vector<MaybeVar> tangents_by_rule(const std::shared_ptr<const Function>& function,
                                       const NodeView& node, std::span<const MaybeVar> tangents);
// DerivativeError unless what the rule emits is linear in the tangents.
void require_linear_rule(const FunctionRules::Jvp& rule, std::span<const Var> in,
                         std::span<const Var> out, std::span<const Var> tangents);

}  // namespace dualtape::detail

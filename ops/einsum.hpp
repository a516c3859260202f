// Sums of products of tensors, written with index letters as NumPy's and PyTorch's einsum.
// A graph may be built by one thread at a time.
#pragma once

#include <string_view>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// "ij,jk->ik": every operand's axes get a letter (a-z, A-Z); the result is the sum over all letters
// that it does not name of the products of elements. A letter twice in one operand takes its
// diagonal; `...` stands for any further axes, which broadcast. Without "->" the result has `...`
// first and then the letters that occur once, in alphabetical order (capitals first). Spaces are
// passed over.
//
// Operands are brought to one dtype; integers and bools become float32. Several operands are
// multiplied two at a time, the cheapest pair first, by matmul where a letter is summed over.
// ValueError for a text that is no such rule; ShapeError where it does not fit the operands, with
// the letter and both sizes.
Var einsum(std::string_view rule, const std::vector<In>& operands);

}  // namespace dualtape

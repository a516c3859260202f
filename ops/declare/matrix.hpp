// What operators on (batches of) matrices share: batch axes and how they pair up.
// Private. Plain functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <dualtape/core/graph.hpp>
#include <dualtape/core/op.hpp>

namespace dualtape::detail {

// Sizes of matrix and batch axes; the rank is 2 at least.
inline std::int64_t rows_of(const Shape& shape) { return shape[shape.rank() - 2]; }
inline std::int64_t columns_of(const Shape& shape) { return shape[shape.rank() - 1]; }
inline Shape batch_of(const Shape& shape) { return Shape(shape.sizes().first(shape.rank() - 2)); }
inline Shape with_matrix(const Shape& batch, std::int64_t rows, std::int64_t columns) {
  std::vector<std::int64_t> sizes = batch.vector();
  sizes.push_back(rows);
  sizes.push_back(columns);
  return Shape(sizes);
}

// Which matrix of `shape` meets each matrix of the broadcast batch `out`: their numbers in order.
inline std::vector<std::int64_t> matrix_numbers(const Shape& batch, const Shape& out) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(out.count()));
  const std::size_t lead = out.rank() - batch.rank();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t stride = 1;
    for (std::size_t axis = out.rank(); axis-- > lead;) {
      const std::int64_t size = batch[axis - lead];
      if (size != 1) numbers[i] += rest % out[axis] * stride;
      stride *= size;
      rest /= out[axis];
    }
  }
  return numbers;
}

// The batch axes of both operands broadcast; ShapeError where they do not.
inline Shape require_batches(const Inference& inference) {
  const Broadcast joined = broadcast(batch_of(inference.shape(0)), batch_of(inference.shape(1)));
  if (!joined.ok)
    inference.shape_error("the batch axes of " + to_string(inference.shape(0)) + " and " +
                              to_string(inference.shape(1)) + " do not broadcast",
                          "all axes but the last two must be equal, 1 or missing");
  return joined.shape;
}

}  // namespace dualtape::detail

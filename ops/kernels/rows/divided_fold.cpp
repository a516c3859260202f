#include <dualtape/ops/kernels/rows/divided_fold.hpp>

#include <algorithm>

#include <dualtape/core/tile/fold_block.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t least_piece = std::size_t{1} << 15;  // elements
constexpr std::size_t most_pieces = 64;

// A share of `side`, a multiple of `unit`, for pieces that are neither too small nor too many.
std::size_t share_of(std::size_t side, std::size_t unit, std::size_t elements) {
  const std::size_t pieces = std::clamp<std::size_t>(elements / least_piece, 1, most_pieces);
  const std::size_t share = (side + pieces - 1) / pieces;
  return (share + unit - 1) / unit * unit;
}

}  // namespace

DividedFold::DividedFold(const FoldPlan& plan, bool joins) : plan_(plan) {
  const std::size_t elements = plan.kept_count * plan.lines * plan.inner;
  const bool to_one = plan.kept.empty() && plan.inner_folded;
  if (elements < least_divided || (to_one && (!joins || elements < 4 * least_piece))) {
    pieces_.push_back({plan, 0, 0});
    return;
  }
  if (!plan.kept.empty()) {  // cut along the outermost axis that is kept
    const auto [size, stride] = plan.kept[0];
    const std::size_t inner_outputs = plan.outputs() / size;
    const std::size_t share = share_of(size, 1, elements);
    for (std::size_t first = 0; first < size; first += share) {
      Piece piece{plan, first * stride, first * inner_outputs};
      piece.plan.kept[0].size = std::min(share, size - first);
      piece.plan.kept_count = plan.kept_count / size * piece.plan.kept[0].size;
      pieces_.push_back(std::move(piece));
    }
    return;
  }
  if (to_one) {
    divide_run(elements);
    return;
  }
  // Narrow pieces of rows far apart would be slow to fetch.
  const std::size_t share = share_of(plan.inner, 512, elements);
  for (std::size_t first = 0; first < plan.inner; first += share) {
    Piece piece{plan, first, first};
    piece.plan.inner = std::min(share, plan.inner - first);
    pieces_.push_back(std::move(piece));
  }
}

// In the blocks that the kernels fold long runs by.
void DividedFold::divide_run(std::size_t elements) {
  const std::size_t block = fold_block(elements);
  const std::size_t share = share_of(elements, block, elements);
  for (std::size_t first = 0; first < elements; first += share) {
    const std::size_t here = std::min(share, elements - first);
    const std::size_t whole = here / block;
    const Shape blocks{static_cast<std::int64_t>(whole), static_cast<std::int64_t>(block)};
    if (whole > 0) pieces_.push_back({FoldPlan(blocks, {1}), first, first / block});
    const Shape rest{static_cast<std::int64_t>(here % block)};
    if (here % block > 0)
      pieces_.push_back({FoldPlan(rest, {0}), first + whole * block, first / block + whole});
  }
  blocks_ = (elements + block - 1) / block;
  join_.emplace(Shape{static_cast<std::int64_t>(blocks_)}, Ints{0});
}

}  // namespace dualtape::detail

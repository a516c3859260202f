#include <dualtape/ops/detail/divided_fold.hpp>

#include <algorithm>

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
  // Narrow pieces of rows far apart would be slow to fetch.
  const std::size_t share = share_of(plan.inner, to_one ? 1024 : 512, elements);
  for (std::size_t first = 0; first < plan.inner; first += share) {
    Piece piece{plan, first, to_one ? pieces_.size() : first};
    piece.plan.inner = std::min(share, plan.inner - first);
    pieces_.push_back(std::move(piece));
  }
  if (to_one) join_.emplace(Shape{static_cast<std::int64_t>(pieces_.size())}, Ints{0});
}

}  // namespace dualtape::detail

#include <dualtape/models/training/epoch_layout.hpp>

#include <cstdint>
#include <optional>
#include <tuple>

namespace dualtape::detail {
namespace {

enum OrderKind : std::int64_t { order_unknown, order_of_data, order_by_key };

}  // namespace

Tensor to_tensor(const EpochOrder& order) {
  if (!order.known) return Tensor::of({order_unknown, std::int64_t{0}});
  if (!order.key) return Tensor::of({order_of_data, std::int64_t{0}});
  return Tensor::of({order_by_key, static_cast<std::int64_t>(order.key->value())});
}

EpochOrder order_of(const Tensor& saved) {
  const auto values = saved.data<std::int64_t>();
  if (values[0] == order_of_data) return {true, std::nullopt};
  if (values[0] == order_by_key) return {true, Key{static_cast<std::uint64_t>(values[1])}};
  return {};
}

std::string to_string(const EpochOrder& order) {
  return order.key ? "Key{" + std::to_string(order.key->value()) + "}"
                   : "no key, in the data set's own order";
}

bool same_sizes(const EpochLayout& a, const EpochLayout& b) {
  return std::tie(a.batches, a.batch_size, a.rows) == std::tie(b.batches, b.batch_size, b.rows);
}

std::string to_string(const EpochLayout& layout) {
  return std::to_string(layout.batches) + " batches of " + std::to_string(layout.batch_size) +
         " from " + std::to_string(layout.rows) + " rows";
}

}  // namespace dualtape::detail

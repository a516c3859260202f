#include <dualtape/models/layers/layer_shape.hpp>

#include <algorithm>

namespace dualtape::detail {

Shape layer_shape(std::string_view layer, const std::string& name, std::string_view what,
                  std::initializer_list<std::int64_t> sizes, Location where) {
  const auto would_be = [&] {
    std::string text = "its " + std::string(what) + " would be (";
    for (const std::int64_t size : sizes)
      text += (text.back() == '(' ? "" : ", ") + std::to_string(size);
    return text + (sizes.size() == 1 ? ",)" : ")");
  };
  if (std::ranges::any_of(sizes, [](std::int64_t size) { return size < 1; }))
    fail<ShapeError>({.op = layer,
                      .label = name,
                      .what = would_be(),
                      .where = where,
                      .help = "give sizes of 1 or more"});
  try {
    return {sizes, where};
  } catch (const SizeError&) {
    fail<SizeError>({.op = layer,
                     .label = name,
                     .what = would_be() + ", more elements than a tensor may have",
                     .where = where,
                     .help = "give smaller sizes"});
  }
}

}  // namespace dualtape::detail

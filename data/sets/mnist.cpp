#include <dualtape/data/mnist.hpp>

#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/base/enumeration.hpp>
#include <dualtape/data/idx.hpp>
#include <dualtape/data/paths.hpp>

namespace dualtape {
namespace {

std::filesystem::path find(const std::string& folder, const std::string& file, Location here) {
  const std::string name = folder + "/" + file;
  return find_data({name + ".gz", name}, here);
}

Dataset load(const char* op, const std::string& folder, Part part,
             std::vector<std::string> class_names, Location here) {
  detail::require_listed(op, "Part", part, 2, "Part::train or Part::test", here);
  const std::string prefix = part == Part::train ? "train" : "t10k";
  const std::filesystem::path images = find(folder, prefix + "-images-idx3-ubyte", here);
  const std::filesystem::path labels = find(folder, prefix + "-labels-idx1-ubyte", here);
  const Shape wanted{part == Part::train ? 60000 : 10000, 28, 28};
  // Before anything is read whole: a cut or foreign file ought not pass for the data set.
  const Shape found = read_idx_header(images, here).shape;
  if (!(found == wanted)) {
    fail<DataError>({.op = op,
                     .what = images.string() + ", offset 4: expected the sizes " +
                             to_string(wanted) + ", found " + to_string(found),
                     .where = here,
                     .help = "for a part of the set, name both files to load_idx_images"});
  }
  return load_idx_images(images, labels, std::move(class_names), folder, {}, here);
}

}  // namespace

Dataset load_mnist(Part part, Location here) {
  return load("load_mnist", "mnist", part, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
              here);
}

Dataset load_kmnist(Part part, Location here) {
  return load("load_kmnist", "kmnist", part,
              {"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"}, here);
}

Dataset load_fashion_mnist(Part part, Location here) {
  return load("load_fashion_mnist", "fashion-mnist", part,
              {"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
               "bag", "ankle boot"},
              here);
}

}  // namespace dualtape

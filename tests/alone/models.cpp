// Models without data.
#include <dualtape/models/layers.hpp>

int main() {
  using namespace dualtape;
  const nn::Linear layer("layer", 2, 3, Key{1});
  Graph graph;
  return layer(graph.input("x", {5, 2})).shape() == Shape{5, 3} ? 0 : 1;
}

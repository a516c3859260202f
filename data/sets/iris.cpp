#include <dualtape/data/iris.hpp>

#include <array>
#include <string>
#include <vector>

#include <dualtape/data/readers/bundled.hpp>

namespace dualtape {

Dataset load_iris(Location here) {
  // The header holds the number of rows and of features, then the names of the classes.
  const Table table = detail::read_bundled("iris/iris.csv", {}, here);
  const std::vector<std::string> header = {"150", "4", "setosa", "versicolor", "virginica"};
  if (table.names() != header || table.rows() != 150) {
    fail<DataError>({.op = "load_iris",
                     .what = table.path().string() +
                             ": not the Iris file, which has the header "
                             "'150,4,setosa,versicolor,virginica' and 150 rows",
                     .where = here});
  }
  constexpr std::array<std::int64_t, 4> features = {0, 1, 2, 3};
  Dataset iris =
      to_dataset(table, features, 4, {"setosa", "versicolor", "virginica"}, "iris", here);
  iris.feature_names = {"sepal length (cm)", "sepal width (cm)", "petal length (cm)",
                        "petal width (cm)"};
  return iris;
}

}  // namespace dualtape

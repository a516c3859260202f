// Fisher's Iris data, 150 flowers. Any thread may call.
#pragma once

#include <dualtape/data/dataset.hpp>

namespace dualtape {

// float32 inputs (150, 4) in centimetres (sepal length and width, petal length and width), int64
// labels (150,) in 0..2, sorted by class: shuffle or split before training. Rows as in
// scikit-learn. Reads iris/iris.csv, see find_data; DataError if it is missing or broken.
Dataset load_iris();

}  // namespace dualtape

// Fisher's Iris data, 150 flowers. Any thread may call.
#pragma once

#include <dualtape/data/dataset.hpp>

namespace dualtape {

// float32 inputs (150, 4) in centimetres (sepal length and width, petal length and width), int64
// labels (150,) in 0..2, sorted by class: shuffle or split before training. Rows as in
// scikit-learn. Compiled in; iris/iris.csv in the folder that DUALTAPE_DATA names goes before
// that, DataError if it is broken.
Dataset load_iris(Location here = Location::current());

}  // namespace dualtape

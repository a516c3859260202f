// Handwritten digits, 1797 images of 8 x 8 pixels. Any thread may call.
#pragma once

#include <dualtape/data/dataset.hpp>

namespace dualtape {

// float32 inputs (1797, 64) with whole values 0 to 16, an image row by row; int64 labels (1797,)
// in 0..9. Rows as in scikit-learn. Compiled in; digits/digits.csv in the folder that DUALTAPE_DATA
// names goes before that, DataError if it is broken.
Dataset load_digits(Location here = Location::current());

}  // namespace dualtape

// The Palmer penguins: three species, four measurements. Any thread may call.
#pragma once

#include <dualtape/data/csv.hpp>
#include <dualtape/data/dataset.hpp>

namespace dualtape {

// The 344 rows and 17 columns as collected, some values missing. Compiled in;
// penguins/penguins_raw.csv in the folder that DUALTAPE_DATA names goes before that, DataError if
// it is broken.
Table load_penguins_raw(Location here = Location::current());

// The 334 penguins of the widely used "penguins/processed" set: float32 inputs (334, 4), culmen
// length and depth, flipper length and body mass, each scaled to [0, 1] over these rows; int64
// labels (334,): 0 Adelie (146), 1 Chinstrap (68), 2 Gentoo (120), sorted by class: shuffle or
// split before training. Compiled in; penguins/penguins_processed.csv in the folder that
// DUALTAPE_DATA names goes before that, DataError if it is broken.
Dataset load_penguins(Location here = Location::current());

// The same made anew from the raw table (how, says penguins/README.md), equal to the bit.
Dataset process_penguins(const Table& raw, Location here = Location::current());

}  // namespace dualtape

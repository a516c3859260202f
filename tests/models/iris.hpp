// The data of small trainings in tests.
#pragma once

#include <dualtape/data/iris.hpp>
#include <dualtape/data/scale.hpp>

namespace dualtape {

inline Dataset iris() {
  Dataset data = load_iris();
  data.inputs = standardise(data.inputs);
  return data;
}

}  // namespace dualtape

// Data sets with core alone.
#include <dualtape/data/iris.hpp>

int main() { return dualtape::load_iris().count() == 150 ? 0 : 1; }

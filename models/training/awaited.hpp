// Whether somebody reports the scalars that callbacks wait for. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <dualtape/models/trainer.hpp>

namespace dualtape::detail {

// Before the first step: throws ValueError for a scalar that nobody will report, as far as
// callbacks say what they do; `reported` are those heard already.
void check_announced(const TrainerOptions& options, const std::vector<std::string>& reported,
                     Location where);

// Behind the last one: throws ValueError for a scalar that was not reported though others were,
// unless the one who reports it was not due.
void check_heard(const TrainerOptions& options, const std::vector<std::string>& reported,
                 Location where);

}  // namespace dualtape::detail

// What the Trainer asks of what it is given before it differentiates, so that a mistake is reported
// at the user's line and not at one of the library. Graphs are built by one thread at a time.
#pragma once

#include <vector>

#include <dualtape/models/trainer.hpp>

namespace dualtape::detail {

// Throws GraphError for a loss that is empty or of another graph than `labels`, ShapeError for one
// that is not one number and for logits that do not fit the labels, TypeError for one that has no
// derivative. Predictions of labels that are no class numbers have their shape; in training, and
// where `any_outputs` are of use, logits need only have the labels' rows.
void check_objective(const Objective& objective, Var labels, bool training, bool any_outputs,
                     Location where);
// Whether logits are (..., classes) for labels (...).
bool fits_classes(const Shape& logits, const Shape& labels);

// Throws ValueError for a parameter listed twice, and for one that is among the buffers, too: both
// would show themselves only in a step or a checkpoint, as something else.
void check_listed_once(const std::vector<Parameter>& parameters,
                       const std::vector<Parameter>& buffers, Location where);

// Throws ValueError for two parameters or buffers, two callbacks or two metrics of one name, which
// no checkpoint could tell from each other, and for a callback that is listed twice. Callbacks
// without a name are not saved.
void check_names(const std::vector<Parameter>& parameters, const TrainerOptions& options,
                 Location where);

}  // namespace dualtape::detail

// Checkpoints: all that a training run needs to go on, in one safetensors file that other programs
// can take the weights from. One thread at a time for one Trainer.
//
//   dt::resume(path, trainer);                       // false at the first start: no file yet
//   trainer.fit(batches, {.until_epoch = 20});       // with a Checkpoints callback
//
// A run that was stopped at any moment and resumed ends with the bits of one that was not, given
// the same data, options, build and number of threads. Needs nlohmann's JSON library when dualtape
// is built.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include <dualtape/models/lbfgs.hpp>
#include <dualtape/models/trainer.hpp>

namespace dualtape {

// Trainer::state() as a file, whole or not at all, with checksums; the metadata have the numbers of
// steps and epochs. Throws DataError where it cannot be written, and what state() throws.
void save_checkpoint(const std::filesystem::path& path, const Trainer& trainer,
                     Location here = Location::current());

// The other way. Throws DataError for a file that is missing or broken or that holds parameters
// only or a run of the other kind, and what restore() throws; then nothing has changed.
void load_checkpoint(const std::filesystem::path& path, Trainer& trainer,
                     Location here = Location::current());

// load_checkpoint() if there is such a file; whether there is.
bool resume(const std::filesystem::path& path, Trainer& trainer,
            Location here = Location::current());

// The same of an L-BFGS run: Lbfgs::state() and restore().
void save_checkpoint(const std::filesystem::path& path, const Lbfgs& lbfgs,
                     Location here = Location::current());
void load_checkpoint(const std::filesystem::path& path, Lbfgs& lbfgs,
                     Location here = Location::current());

// How the matrices of a file lie: as in dualtape, where a Linear's weight is (in, out), or as in
// PyTorch, where it is (out, in); see models/torch_weights.hpp. `as_saved` is for files that
// dualtape wrote, which say so.
enum class Layout : std::uint8_t { as_saved, dualtape, torch };

// Parameters alone, under their names; load_parameters() also takes them from a checkpoint. Throws
// DataError if one is missing or has another type, and for a matrix of a file that does not say
// that dualtape wrote it, unless its layout is told, and for a file that dualtape wrote but is told
// to be PyTorch's; then none has changed.
void save_parameters(const std::filesystem::path& path, const std::vector<Parameter>& parameters,
                     Location here = Location::current());
void load_parameters(const std::filesystem::path& path, std::vector<Parameter> parameters,
                     Layout layout = Layout::as_saved, Location here = Location::current());

}  // namespace dualtape

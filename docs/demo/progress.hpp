// A live progress line for a training run: a bar redrawn in place on a terminal, and one plain line
// for every tenth of the way elsewhere. Use one Progress at a time, from one thread.
#pragma once

#include <cstddef>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

namespace dualtape::demo {

// Where and how to draw.
struct Screen {
  std::FILE* stream = stderr;
  bool live = false;    // redraw one line in place
  bool colour = false;  // ANSI colours
  bool blocks = false;  // UTF-8 blocks of an eighth each; otherwise '#'
  int width = 0;        // columns; 0 asks the terminal at every redraw
};

// Looks at the stream and at TERM, NO_COLOR, COLUMNS, LC_ALL, LC_CTYPE and LANG.
Screen detect_screen(std::FILE* stream = stderr);

// What a line shows. Loss and accuracy are left out until they are known.
struct Reading {
  std::string label;
  std::size_t step = 0;
  std::size_t total = 0;  // 0: not known
  double elapsed = 0;     // seconds
  std::optional<double> loss = {};
  std::optional<double> accuracy = {};  // in 0..1
};

// The line with the bar, at most `width` columns wide, escape sequences not counted.
std::string live_line(const Reading& reading, const Screen& screen, std::size_t width);
// The line for logs.
std::string plain_line(const Reading& reading);
// The line that stays when the run has ended.
std::string final_line(const Reading& reading, const Screen& screen);

class Progress {
 public:
  using Clock = std::function<double()>;  // seconds from any fixed point on

  // `label_width` pads the label, so that the bars of several runs stand under each other.
  Progress(std::string label, std::size_t total, std::size_t label_width = 0,
           Screen screen = detect_screen(), Clock clock = {});
  // A run that was left by an exception keeps its last line; finish() is never implied.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `step` steps are done. Values left out keep the last one known. Cheap: draws at most 15 times
  // a second.
  void update(std::size_t step, std::optional<double> loss = {},
              std::optional<double> accuracy = {});

  // Replaces the bar by the final line. A second call does nothing.
  void finish();

 private:
  void write(const std::string& text);
  void draw_live();

  Screen screen_;
  Clock clock_;
  Reading reading_;
  double start_ = 0;
  double next_draw_ = 0;
  std::size_t next_tenth_ = 1;
  bool drawn_ = false;
  bool finished_ = false;
};

}  // namespace dualtape::demo

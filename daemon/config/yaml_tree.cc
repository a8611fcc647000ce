// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/config/value.h"

namespace tidegauge {

namespace {

// Ends yaml-cpp's parsing from within a callback; never leaves this file.
struct TreeError {
  YamlPosition position;
  std::string message;
};

YamlPosition to_position(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

class TreeBuilder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw TreeError{to_position(mark), "expected one YAML document, got several"};
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(YamlKind::kNull, mark), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto target = anchors_.find(anchor);
    if (target == anchors_.end()) {
      throw TreeError{to_position(mark), "an alias within its own anchor"};
    }
    auto node = std::make_shared<YamlNode>(*target->second);
    node->position = to_position(mark);
    count(node->nodes, node->position);
    add(std::move(node), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    auto node = make(YamlKind::kScalar, mark);
    node->text = value;
    node->plain = tag == "?";
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    begin(YamlKind::kSequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { end(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    begin(YamlKind::kMapping, mark, tag, anchor);
  }
  void OnMapEnd() override { end(); }

  [[nodiscard]] YamlNodePtr root() const {
    return root_ != nullptr ? root_ : std::make_shared<YamlNode>();
  }

 private:
  struct Frame {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor = 0;
    std::optional<YamlEntry> pending;  // a mapping's key that waits for its value
  };

  std::shared_ptr<YamlNode> make(YamlKind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->position = to_position(mark);
    count(1, node->position);
    return node;
  }

  void count(std::size_t nodes, YamlPosition position) {
    nodes_ += nodes;
    if (nodes_ > kMaxYamlNodes) {
      throw TreeError{position, "more than " + std::to_string(kMaxYamlNodes) + " values"};
    }
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw TreeError{to_position(mark), "YAML tags are not supported: " + quote(tag)};
    }
  }

  void begin(YamlKind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    if (frames_.size() >= kMaxYamlDepth) {
      throw TreeError{to_position(mark),
                      "nested deeper than " + std::to_string(kMaxYamlDepth) + " levels"};
    }
    auto node = make(kind, mark);
    refuse_odd_key(*node);
    frames_.push_back({std::move(node), anchor, std::nullopt});
  }

  void end() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    add(std::move(frame.node), frame.anchor);
  }

  [[nodiscard]] bool awaits_key() const {
    return !frames_.empty() && frames_.back().node->kind == YamlKind::kMapping &&
           !frames_.back().pending;
  }

  void refuse_odd_key(const YamlNode& node) const {
    if (awaits_key() && node.kind != YamlKind::kScalar) {
      throw TreeError{node.position, path() + "a key must be a word"};
    }
  }

  // "collectors.diskstats: ", "collectors.process.groups[1].name: ", or "" at the root.
  [[nodiscard]] std::string path() const {
    std::string path;
    for (const Frame& frame : frames_) {
      if (frame.pending) {
        path.append(path.empty() ? "" : ".").append(display_key(frame.pending->key));
      } else if (frame.node->kind == YamlKind::kSequence) {
        path.append("[").append(std::to_string(frame.node->items.size())).append("]");
      }
    }
    return path.empty() ? path : path + ": ";
  }

  void add(std::shared_ptr<YamlNode> node, YAML::anchor_t anchor) {
    refuse_odd_key(*node);
    if (anchor != 0) {
      anchors_[anchor] = node;
    }
    if (frames_.empty()) {
      root_ = std::move(node);
    } else if (frames_.back().node->kind == YamlKind::kSequence) {
      frames_.back().node->nodes += node->nodes;
      frames_.back().node->items.push_back(std::move(node));
    } else if (awaits_key()) {
      begin_entry(*node);
    } else {
      Frame& frame = frames_.back();
      frame.node->nodes += node->nodes + 1;
      frame.pending->value = std::move(node);
      frame.node->entries.push_back(*std::exchange(frame.pending, std::nullopt));
    }
  }

  void begin_entry(const YamlNode& key) {
    Frame& frame = frames_.back();
    const auto first = std::ranges::find(frame.node->entries, key.text, &YamlEntry::key);
    const bool twice = first != frame.node->entries.end();
    const int first_line = twice ? first->position.line : 0;
    frame.pending = YamlEntry{key.text, key.position, nullptr};
    if (twice) {
      throw TreeError{key.position,
                      path() + "given twice, first in line " + std::to_string(first_line)};
    }
  }

  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, std::shared_ptr<const YamlNode>> anchors_;
  YamlNodePtr root_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

// yaml-cpp's own words for a tab are about whatever it was looking for.
bool has_tab_indentation(std::string_view text, int line) {
  for (int i = 1; i < line && !text.empty(); ++i) {
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  const std::size_t end = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(0, end).find('\t') != std::string_view::npos;
}

std::string describe_syntax_error(std::string_view text, const YAML::ParserException& error) {
  const int line = error.mark.line + 1;
  if (has_tab_indentation(text, line) || (line > 1 && has_tab_indentation(text, line - 1))) {
    return "not valid YAML: a tab in the indentation, which has to be blanks";
  }
  return "not valid YAML: " + error.msg;
}

YamlPosition position_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto lines = std::ranges::count(before, '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<int>(lines) + 1, static_cast<int>(offset - line_start) + 1};
}

// What yaml-cpp would guess at or skip in silence: other encodings (it detects UTF-16), control
// characters (it takes 0x04 for the end of the file), directives.
std::optional<TreeError> refuse_odd_text(std::string_view text) {
  const std::string valid = sanitize_label(text, text.size());
  const auto bad_byte = std::ranges::mismatch(text, valid).in1;
  if (bad_byte != text.end()) {
    const auto offset = static_cast<std::size_t>(bad_byte - text.begin());
    return TreeError{position_of(text, offset), "not UTF-8 text"};
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7F) {
      return TreeError{position_of(text, i), "a control character"};
    }
    if (byte == '%' && (i == 0 || text[i - 1] == '\n')) {
      return TreeError{position_of(text, i), "YAML directives are not supported"};
    }
  }
  return std::nullopt;
}

}  // namespace

std::string display_key(std::string_view key) {
  constexpr std::string_view kWord =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  constexpr std::size_t kMaxBytes = 80;
  const bool is_word = !key.empty() && key.size() <= kMaxBytes &&
                       key.find_first_not_of(kWord) == std::string_view::npos;
  return is_word ? std::string(key) : quote(key);
}

std::string yaml_position_prefix(std::string_view file, YamlPosition position) {
  return std::string(file) + ":" + std::to_string(position.line) + ":" +
         std::to_string(position.column) + ": ";
}

ConfigResult<YamlNodePtr> parse_yaml_tree(std::string_view text, std::string_view file) {
  const auto fail = [&](YamlPosition position, const std::string& message) {
    return tl::make_unexpected(ConfigError{yaml_position_prefix(file, position) + message});
  };
  if (text.size() > kMaxConfigBytes) {
    return tl::make_unexpected(ConfigError{std::string(file) + ": larger than " +
                                           std::to_string(kMaxConfigBytes) + " bytes"});
  }
  if (const auto error = refuse_odd_text(text)) {
    return fail(error->position, error->message);
  }
  TreeBuilder tree;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(tree)) {
    }
  } catch (const TreeError& error) {
    return fail(error.position, error.message);
  } catch (const YAML::ParserException& error) {
    return fail(to_position(error.mark), describe_syntax_error(text, error));
  } catch (const YAML::Exception& error) {
    return fail({}, "not valid YAML: " + error.msg);
  }
  return tree.root();
}

}  // namespace tidegauge

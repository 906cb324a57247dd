// Columns of values as an Arrow record batch for somebody else, by the C data interface: no Arrow library.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "dativo_reader.h"

namespace arrow_export {

// A column without nulls: its name, its type in the interface's letters, its buffers behind the one of validity.
struct Column {
  std::string name;
  std::string format;
  std::vector<std::vector<char>> buffers;
};

template <typename Value>
std::vector<char> bytes(const std::vector<Value>& values) {
  std::vector<char> copy(values.size() * sizeof(Value));
  if (!copy.empty()) std::memcpy(copy.data(), values.data(), copy.size());
  return copy;
}

inline Column integers(std::string name, const std::vector<int64_t>& values) { return {std::move(name), "l", {bytes(values)}}; }

inline Column reals(std::string name, const std::vector<double>& values) { return {std::move(name), "g", {bytes(values)}}; }

inline Column texts(std::string name, const std::vector<std::string>& values) {
  std::vector<int32_t> ends{0};
  std::vector<char> text;
  for (const auto& value : values) {
    text.insert(text.end(), value.begin(), value.end());
    if (text.size() > INT32_MAX) throw std::length_error("a column holds 2 GiB of text at most");
    ends.push_back(static_cast<int32_t>(text.size()));
  }
  return {std::move(name), "u", {bytes(ends), std::move(text)}};
}

// What an exported structure keeps until it is released.
struct Schema {
  std::string name, format;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;
};

struct Array {
  std::vector<std::vector<char>> owned;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;
};

template <typename Exported, typename Kept>
void release(Exported* exported) {
  // A child that was moved out has no `release` any more.
  for (int64_t place = 0; place < exported->n_children; place++) {
    Exported* child = exported->children[place];
    if (child->release != nullptr) child->release(child);
  }
  delete static_cast<Kept*>(exported->private_data);
  exported->release = nullptr;
}

inline void export_schema(Schema* kept, ArrowSchema* out) {
  for (auto& child : kept->children) kept->pointers.push_back(&child);
  *out = ArrowSchema{};
  out->format = kept->format.c_str();
  out->name = kept->name.c_str();
  out->n_children = static_cast<int64_t>(kept->children.size());
  out->children = kept->pointers.data();
  out->release = release<ArrowSchema, Schema>;
  out->private_data = kept;
}

inline void export_array(Array* kept, int64_t length, ArrowArray* out) {
  // No column has nulls, so none has a buffer of validity.
  kept->buffers.push_back(nullptr);
  for (const auto& buffer : kept->owned) kept->buffers.push_back(buffer.data());
  for (auto& child : kept->children) kept->pointers.push_back(&child);
  *out = ArrowArray{};
  out->length = length;
  out->n_buffers = static_cast<int64_t>(kept->buffers.size());
  out->n_children = static_cast<int64_t>(kept->children.size());
  out->buffers = kept->buffers.data();
  out->children = kept->pointers.data();
  out->release = release<ArrowArray, Array>;
  out->private_data = kept;
}

// A batch of columns that are all `length` long.
inline void batch(std::vector<Column> columns, int64_t length, ArrowArray* array, ArrowSchema* schema) {
  auto* fields = new Schema{"", "+s", std::vector<ArrowSchema>(columns.size()), {}};
  auto* values = new Array{{}, {}, std::vector<ArrowArray>(columns.size()), {}};
  for (size_t place = 0; place < columns.size(); place++) {
    Column& column = columns[place];
    export_schema(new Schema{column.name, column.format, {}, {}}, &fields->children[place]);
    export_array(new Array{std::move(column.buffers), {}, {}, {}}, length, &values->children[place]);
  }
  export_schema(fields, schema);
  export_array(values, length, array);
}

}  // namespace arrow_export

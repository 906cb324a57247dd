// The squares of the numbers from 0 on, as a shared library for Dativo: nothing but the header and the standard library.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrow_export.hpp"
#include "dativo_reader.h"

namespace {

struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Reader {
  int64_t next = 0;
  int64_t rows = 0;
};

thread_local std::string error_text;

char* copied(const std::string& text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy != nullptr) std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

// The integer under `"name":`; enough JSON for a configuration of numbers and a state of one's own.
bool integer(const char* json, const std::string& name, int64_t* value) {
  const char* at = json == nullptr ? nullptr : std::strstr(json, ("\"" + name + "\"").c_str());
  if (at == nullptr) return false;
  at = std::strchr(at + name.size() + 2, ':');
  char* end = nullptr;
  *value = at == nullptr ? 0 : std::strtoll(at + 1, &end, 10);
  if (at == nullptr || end == at + 1) throw ConfigError("`" + name + "` is no integer");
  return true;
}

// Whether a catalog of the one stream asks for what is new; the mode is the text behind `"sync_mode":`.
bool is_incremental(const char* catalog) {
  const char* at = std::strstr(catalog, "\"sync_mode\"");
  at = at == nullptr ? nullptr : std::strchr(at + 11, '"');
  return at != nullptr && std::strncmp(at, "\"incremental\"", 13) == 0;
}

// No exception leaves the library.
template <typename Work>
int answered(Work work) {
  try {
    work();
    return 0;
  } catch (const ConfigError& error) {
    error_text = std::string("{\"kind\":\"config\",\"message\":\"") + error.what() + "\",\"hint\":\"set `rows` to a number from 0 on\"}";
  } catch (const std::exception& error) {
    error_text = std::string("{\"kind\":\"connector\",\"message\":\"") + error.what() + "\",\"hint\":null}";
  }
  return 1;
}

}  // namespace

extern "C" {

uint32_t dativo_api_version(void) { return DATIVO_API_VERSION; }

const char* dativo_spec(void) {
  return R"({"name": "squares", "version": "0.1.0",
    "config_schema": {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "integer", "minimum": 0}}},
    "capabilities": {"modes": ["full_refresh", "incremental"], "powers": []}})";
}

int dativo_open(const char* config, const char* catalog, const char* state, const uint8_t*, size_t, void** reader) {
  return answered([&] {
    auto made = std::make_unique<Reader>();
    if (!integer(config, "rows", &made->rows) || made->rows < 0) throw ConfigError("`rows` is missing or below zero");
    if (catalog == nullptr || is_incremental(catalog)) integer(state, "next", &made->next);
    *reader = made.release();
  });
}

int dativo_schema(void*, char** catalog_json) {
  return answered([&] {
    *catalog_json = copied(R"({"streams": [{"name": "squares", "supported_sync_modes": ["full_refresh", "incremental"],
      "source_defined_cursor": true, "default_cursor_field": ["number"], "source_defined_primary_key": [["number"]],
      "json_schema": {"type": "object", "properties": {"number": {"type": "integer"}, "square": {"type": "number"},
        "text": {"type": "string"}}}}]})");
  });
}

int dativo_read(void* handle, uint64_t max_rows, char** stream_json, struct ArrowArray* array, struct ArrowSchema* schema) {
  return answered([&] {
    Reader& reader = *static_cast<Reader*>(handle);
    const int64_t left = std::max<int64_t>(reader.rows - reader.next, 0);
    const int64_t count = std::min<int64_t>(left, static_cast<int64_t>(std::min<uint64_t>(max_rows, 1 << 20)));
    if (count == 0) {
      *stream_json = nullptr;
      return;
    }
    std::vector<int64_t> numbers;
    std::vector<double> squares;
    std::vector<std::string> texts;
    for (int64_t number = reader.next; number < reader.next + count; number++) {
      numbers.push_back(number);
      squares.push_back(static_cast<double>(number) * static_cast<double>(number));
      texts.push_back("number " + std::to_string(number));
    }
    std::vector<arrow_export::Column> columns;
    columns.push_back(arrow_export::integers("number", numbers));
    columns.push_back(arrow_export::reals("square", squares));
    columns.push_back(arrow_export::texts("text", texts));
    arrow_export::batch(std::move(columns), count, array, schema);
    reader.next += count;
    *stream_json = copied(R"({"stream": "squares", "namespace": null, "kind": "batch"})");
  });
}

int dativo_state(void* handle, char** state_json) {
  return answered([&] {
    const Reader& reader = *static_cast<Reader*>(handle);
    *state_json = copied(R"({"stream": "squares", "namespace": null, "state": {"next": )" + std::to_string(reader.next) + "}}");
  });
}

int dativo_partitions(void*, uint32_t, uint64_t, char** partitions_json) {
  *partitions_json = nullptr;
  return 0;
}

void dativo_close(void* handle) { delete static_cast<Reader*>(handle); }

void dativo_free(char* text) { std::free(text); }

const char* dativo_error(void) { return error_text.c_str(); }

}  // extern "C"

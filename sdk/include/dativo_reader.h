/*
 * A reader for Dativo as a shared library: ten C functions, Arrow data by the Arrow C data interface.
 *
 * Order. The host calls `dativo_api_version` and `dativo_spec` any time. For each use of the reader it calls `dativo_open` once;
 * with what that gives `dativo_schema` any time before the first `dativo_read`; then `dativo_read` until it gives no rows, and
 * after each batch `dativo_state`; `dativo_close` once, however the run ends, also after an error. Between `dativo_open` and the
 * first `dativo_read` it may call `dativo_partitions` instead of reading: such a reader stays open until all parts are read.
 *
 * Threads. Calls with one reader never overlap, but may come from different threads. Calls with different readers may overlap.
 *
 * Texts are UTF-8, end with NUL, and hold JSON. Those that the host passes are the host's, and are valid during the call. Those that
 * come back through a `char **` are the host's from then on: it gives them to `dativo_free`. What `dativo_spec` and `dativo_error`
 * return stays the library's.
 *
 * Errors. A function that returns `int` returns 0, or anything else when it failed. Then its results are not touched, and
 * `dativo_error` says why, on the thread that called, until that thread's next call. No function lets a C++ exception or a Rust
 * panic out. Nothing in an error may be a secret or a value of a row.
 *
 * A library may include this file as C11 or C++11, or declare the same by itself. Version 1.0 of the interface.
 */
#ifndef DATIVO_READER_H
#define DATIVO_READER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface: major << 16 | minor. */
#define DATIVO_API_VERSION 0x00010000u

/* https://arrow.apache.org/docs/format/CDataInterface.html, word for word. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

/* DATIVO_API_VERSION of the header that the library was written with. A host takes the same major version, and its own minor or an
 * older one. */
uint32_t dativo_api_version(void);

/* {"name": …, "version": …, "config_schema": {JSON Schema of the configuration; secrets have "airbyte_secret": true},
 *  "capabilities": {"modes": ["full_refresh", "incremental"], "powers": ["partitions"]}}
 * `incremental` where `dativo_state` may say states, `partitions` where `dativo_partitions` may give parts. */
const char* dativo_spec(void);

/* Opens the source.
 *
 * config:    what the user wrote, a JSON object. The library checks it, and fails with kind "config" where it is wrong.
 * catalog:   what to read, an Airbyte ConfiguredAirbyteCatalog; NULL to read everything, or only to ask for the schema. Fields that are
 *            not to be read are left out of a stream's `json_schema`.
 * state:     where to go on, Airbyte's array of states: of each stream, what `dativo_state` gave stands under
 *            `stream.stream_state`; NULL to begin at the beginning.
 * partition: the n bytes of a token of `dativo_partitions`, to read only that part; NULL to read all. Of the readers of parts no state is
 *            asked. A part may be read in another process.
 * reader:    what the other functions get. */
int dativo_open(const char* config, const char* catalog, const char* state, const uint8_t* partition, size_t n, void** reader);

/* The streams there are, selected or not, as an AirbyteCatalog:
 * {"streams": [{"name": …, "namespace": …, "json_schema": {…}, "supported_sync_modes": ["full_refresh", "incremental"],
 *   "source_defined_primary_key": [["id"]], "default_cursor_field": ["at"], "source_defined_cursor": true}]} */
int dativo_schema(void* reader, char** catalog_json);

/* The next rows, at most max_rows of one selected stream. `stream_json` is {"stream": …, "namespace": … or null, "kind": "batch"}, or
 * NULL at the end, where array and schema stay untouched. `array` and `schema` are a struct array without nulls, a child a column,
 * and its schema; both are the host's, which releases them. A library does well to stay below 8 MiB a batch.
 *
 * "kind": "rejects" are rows that could not be read as rows of their stream and are not to be lost; columns: `line` int64 (where in the
 * source, from 1), `column` utf8 or null, `reason` utf8 without values of the row, `record` binary (the row as it was there). */
int dativo_read(void* reader, uint64_t max_rows, char** stream_json, struct ArrowArray* array, struct ArrowSchema* schema);

/* The state that covers all batches so far: {"stream": …, "namespace": … or null, "state": {…}}; NULL where there is none that does.
 * It is of the stream of the last batch, or with "stream": null of all streams. The object under `state` is kept byte for byte. */
int dativo_state(void* reader, char** state_json);

/* Parts that together are all there is to read, in the order in which their rows are to come; NULL or [] to read it whole:
 * [{"token": BASE64, "state": null or, as `dativo_state` gives it, the state that covers this part and all before it}].
 * count is how many are read at a time, target_bytes about how large a part should be as Arrow data. */
int dativo_partitions(void* reader, uint32_t count, uint64_t target_bytes, char** partitions_json);

/* Frees the reader. */
void dativo_close(void* reader);

/* Frees a text that the library gave; NULL is allowed. */
void dativo_free(char* text);

/* What the last failed call of this thread says: {"kind": …, "message": one sentence, "hint": what the user can do, or null}.
 * kind: "config" (what the user wrote is wrong), "connector" (the source failed), "contract" (the data broke a promise), "temporary"
 * (the same call may succeed later). */
const char* dativo_error(void);

#ifdef __cplusplus
}
#endif

#endif /* DATIVO_READER_H */

// A reader in C: one stream of numbers, a state after every batch, Arrow data without a library.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct Reader {
    int64_t next, end;
    int bad;
};

static _Thread_local char error[512];
static int releases;

#ifndef API_VERSION
#define API_VERSION 0x10000
#endif

uint32_t dativo_api_version(void) { return API_VERSION; }

const char *dativo_spec(void) {
    return "{\"name\":\"c-numbers\",\"version\":\"0.3\",\"config_schema\":{\"type\":\"object\",\"properties\":{\"rows\":"
           "{\"type\":\"integer\"}}},\"capabilities\":{\"powers\":[\"partitions\"],\"modes\":[\"full_refresh\",\"incremental\"]}}";
}

const char *dativo_error(void) { return error; }
int releases_so_far(void) { return releases; }
void dativo_free(char *text) { free(text); }

static long number_after(const char *text, const char *name, long otherwise) {
    const char *at = text ? strstr(text, name) : NULL;
    return at ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

int dativo_open(const char *config, const char *catalog, const char *state, const uint8_t *partition, size_t n, void **out) {
    long rows = number_after(config, "\"rows\": ", 3);
    if (rows < 0) {
        snprintf(error, sizeof error, "{\"kind\":\"config\",\"message\":\"`rows` is below 0\",\"hint\":\"count upwards\"}");
        return 2;
    }
    if (rows == 13) {
        snprintf(error, sizeof error, "{\"kind\":\"temporary\",\"message\":\"the source is away\"}");
        return 75;
    }
    if (rows == 14) {
        error[0] = 0;
        return 1;
    }
    struct Reader *reader = calloc(1, sizeof *reader);
    reader->next = number_after(state, "\"n\":", 0);
    reader->end = rows;
    reader->bad = strstr(config, "\"bad\"") != NULL;
    if (partition) sscanf((const char *)partition, "%ld-%ld", &reader->next, &reader->end);
    *out = reader;
    return 0;
}

int dativo_schema(void *reader, char **json) {
    *json = strdup("{\"streams\":[{\"name\":\"numbers\",\"json_schema\":{\"properties\":{\"n\":{\"type\":\"integer\"},\"text\":"
                   "{\"type\":\"string\"}}},\"supported_sync_modes\":[\"full_refresh\",\"incremental\"],"
                   "\"default_cursor_field\":[\"n\"],\"source_defined_primary_key\":[[\"n\"]]}]}");
    return 0;
}

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release) schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    free(schema->children);
    schema->release = NULL;
    if (schema->n_children) releases++;
}

static void release_array(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_buffers; i++) free((void *)array->buffers[i]);
    free(array->buffers);
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    free(array->children);
    array->release = NULL;
    if (array->n_children) releases++;
}

static struct ArrowSchema *field(struct ArrowSchema *schema, const char *format, const char *name, int64_t children) {
    memset(schema, 0, sizeof *schema);
    schema->format = format, schema->name = name, schema->flags = 2, schema->release = release_schema;
    schema->n_children = children;
    schema->children = calloc(children ? children : 1, sizeof(void *));
    for (int64_t i = 0; i < children; i++) schema->children[i] = calloc(1, sizeof *schema);
    return schema;
}

static struct ArrowArray *array(struct ArrowArray *array, int64_t length, int64_t buffers, int64_t children) {
    memset(array, 0, sizeof *array);
    array->length = length, array->n_buffers = buffers, array->n_children = children, array->release = release_array;
    array->buffers = calloc(buffers, sizeof(void *));
    array->children = calloc(children ? children : 1, sizeof(void *));
    for (int64_t i = 0; i < children; i++) array->children[i] = calloc(1, sizeof *array);
    return array;
}

int dativo_read(void *handle, uint64_t max_rows, char **stream, struct ArrowArray *batch, struct ArrowSchema *schema) {
    struct Reader *reader = handle;
    int64_t count = reader->end - reader->next;
    if (count > (int64_t)max_rows) count = max_rows;
    if (count <= 0) {
        *stream = NULL;
        return 0;
    }
    if (reader->bad) {
        snprintf(error, sizeof error, "{\"kind\":\"contract\",\"message\":\"row %ld is no row\"}", reader->next);
        return 30;
    }
    *stream = strdup("{\"stream\":\"numbers\",\"namespace\":null,\"kind\":\"batch\"}");
    field(schema, "+s", "", 2);
    field(schema->children[0], "l", "n", 0);
    field(schema->children[1], "u", "text", 0);
    array(batch, count, 1, 2);
    struct ArrowArray *numbers = array(batch->children[0], count, 2, 0), *texts = array(batch->children[1], count, 3, 0);
    int64_t *values = malloc(8 * count);
    int32_t *offsets = malloc(4 * (count + 1));
    char *text = malloc(20 * count);
    offsets[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        values[i] = reader->next + i;
        offsets[i + 1] = offsets[i] + sprintf(text + offsets[i], "%ld", values[i]);
    }
    numbers->buffers[1] = values, texts->buffers[1] = offsets, texts->buffers[2] = text;
    reader->next += count;
    return 0;
}

int dativo_state(void *handle, char **json) {
    struct Reader *reader = handle;
    *json = malloc(100);
    sprintf(*json, "{\"stream\":\"numbers\",\"state\":{\"n\":%ld,\"exact\":1.10}}", reader->next);
    return 0;
}

int dativo_partitions(void *handle, uint32_t count, uint64_t target_bytes, char **json) {
    struct Reader *reader = handle;
    *json = strdup("[{\"token\":\"MC0yAA==\",\"state\":null},{\"token\":\"Mi00AA==\","
                   "\"state\":{\"stream\":\"numbers\",\"state\":{\"n\":4.0}}}]");
    return 0;
}

void dativo_close(void *handle) { free(handle); }

// A reader of the older kind: rows as JSON, in the shape that its configuration names.
#include <cstring>
#include <string>
#include <vector>

struct Reader {
    std::vector<std::string> answers;
    size_t next = 0;
};

static std::string failure;

extern "C" {

void *create_reader(const char *config) {
    std::string text(config);
    failure.clear();
    auto has = [&](const char *word) { return text.find(word) != std::string::npos; };
    if (has("refuse")) {
        failure = "no such place";
        return nullptr;
    }
    auto *reader = new Reader;
    if (has("\"array\"")) {
        reader->answers = {"[{\"id\":1,\"price\":1.50,\"at\":\"2024-01-02T03:04:05Z\"},\n {\"id\":2,\"price\":2}]", "[{\"id\":3,\"price\":null}]", "[]"};
    } else if (has("\"object\"")) {
        reader->answers = {"{\"records\":[{\"id\":1}],\"state\":{\"at\":1.10},\"has_more\":true}", "{\"rows\":[],\"has_more\":true}",
                           "{\"data\":[{\"id\":2},{\"id\":3}],\"done\":true,\"state\":{\"at\":3}}", "[{\"id\":4}]"};
    } else if (has("\"single\"")) {
        reader->answers = {"{\"id\":1,\"name\":\"x\"}", "{\"id\":2}", ""};
    } else if (has("\"error\"")) {
        reader->answers = {"[{\"id\":1}]", "{\"error\":{\"message\":\"the source went away\"}}"};
    } else if (has("\"bad\"")) {
        reader->answers = {"[{\"id\":1},{\"id\":\"x\"}]"};
    } else if (has("\"broken\"")) {
        reader->answers = {"[{\"id\":1},"};
    } else if (has("\"state\"")) {
        auto at = text.find("\"dativo_state\": ");
        reader->answers = {"[{\"config\":" + text + "}]"};
        (void)at;
    }
    return reader;
}

char *extract_batch(void *handle) {
    auto *reader = static_cast<Reader *>(handle);
    if (reader->next == reader->answers.size()) return nullptr;
    return strdup(reader->answers[reader->next++].c_str());
}

void free_string(char *text) { free(text); }
void free_reader(void *handle) { delete static_cast<Reader *>(handle); }
const char *last_error() { return failure.empty() ? nullptr : failure.c_str(); }
}

/* The in-batch softmax with log q subtracted, in C11 and POSIX without a library. Checked by
 *
 *     cc -O2 -o in_batch_softmax in_batch_softmax.c -lm
 *     minitower check --command ./in_batch_softmax
 */

#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* loss = mean_i (log sum_j exp(z_ij) - z_ii),  z_ij = users_i . items_j / T - log_q_j.
 * Arrays are row by row: users and items n x d; the gradients, as large, start at zero. */
static double in_batch_softmax(size_t n, size_t d, const double *users, const double *items,
                               const double *log_q, double temperature, double *logits,
                               double *d_users, double *d_items) {
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        double top = -INFINITY, total = 0;
        for (size_t j = 0; j < n; j++) {
            double score = 0;
            for (size_t c = 0; c < d; c++) score += users[i * d + c] * items[j * d + c];
            logits[j] = score / temperature - log_q[j];
            top = fmax(top, logits[j]);
        }
        for (size_t j = 0; j < n; j++) total += exp(logits[j] - top);
        loss += (top + log(total) - logits[i]) / n;
        for (size_t j = 0; j < n; j++) {
            double d_score = (exp(logits[j] - top) / total - (i == j)) / (n * temperature);
            for (size_t c = 0; c < d; c++) {
                d_users[i * d + c] += d_score * items[j * d + c];
                d_items[j * d + c] += d_score * users[i * d + c];
            }
        }
    }
    return loss;
}

static void fail(const char *what) {
    fprintf(stderr, "in_batch_softmax: %s\n", what);
    exit(1);
}

static void *zeros(size_t count) {
    void *memory = calloc(count + 1, sizeof(double));
    if (memory == NULL) fail("out of memory");
    return memory;
}

/* The value behind "name": in an object of JSON. Names and strings of the protocol hold no quote
 * and no escape, so no JSON parser is needed. */
static const char *value_of(const char *line, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = strstr(line, key);
    if (found == NULL) fail(key);
    return found + strlen(key);
}

/* Read a number, a list or a list of rows: all its numbers. Counts the numbers and the rows. */
static double *numbers(const char *line, const char *name, size_t *count, size_t *rows) {
    double *found = zeros(strlen(line));
    int depth = 0;
    *count = *rows = 0;
    for (const char *at = value_of(line, name); *at;) {
        char *end;
        double x = strtod(at, &end);
        if (end != at) {
            found[(*count)++] = x;
            at = end;
        } else if (*at == '[') {
            depth++, at++;
        } else if (*at == ']') {
            *rows += depth-- == 2;
            at++;
        } else {
            at++;
        }
        if (depth == 0 && *count > 0) break;
    }
    return found;
}

static void print_number(double x) {
    if (isfinite(x)) printf("%.17g", x);
    else printf(isnan(x) ? "\"NaN\"" : x > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void print_rows(const char *name, const double *x, size_t n, size_t d) {
    printf(", \"%s\": ", name);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < d; c++) {
            printf(c > 0 ? ", " : i > 0 ? "], [" : "[[");
            print_number(x[i * d + c]);
        }
    }
    printf("]]");
}

static void answer(const char *line) {
    size_t n, n_items, n_log_q, one, size, size_items, ignored;
    double *users = numbers(line, "users", &size, &n);
    double *items = numbers(line, "items", &size_items, &n_items);
    double *log_q = numbers(line, "log_q", &n_log_q, &ignored);
    double *temperature = numbers(line, "temperature", &one, &ignored);
    if (n == 0 || n_items != n || n_log_q != n || size_items != size || one != 1) fail(line);
    double *logits = zeros(n), *d_users = zeros(size), *d_items = zeros(size);
    double loss = in_batch_softmax(n, size / n, users, items, log_q, *temperature, logits,
                                   d_users, d_items);
    const char *id = strchr(value_of(line, "id"), '"');
    if (id == NULL) fail(line);
    printf("{\"id\": %.*s\", \"outputs\": {\"loss\": ", (int)(1 + strcspn(id + 1, "\"")), id);
    print_number(loss);
    print_rows("d_users", d_users, n, size / n);
    print_rows("d_items", d_items, n, size / n);
    printf("}}\n");
    double *used[] = {users, items, log_q, temperature, logits, d_users, d_items};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) free(used[i]);
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    if (getline(&line, &capacity, stdin) < 0) return 0;
    printf("{\"protocol\": 1, \"formula\": \"in_batch_softmax\"}\n");
    fflush(stdout);
    while (getline(&line, &capacity, stdin) >= 0) {
        answer(line);
        fflush(stdout);
    }
    free(line);
    return 0;
}

/* Asks for names. Linked statically with musl, so that it runs in every guest, with musl's resolver.
 *
 *   names find NAME|ADDRESS ...              as programs do: getaddrinfo(3), or getnameinfo(3) for an address
 *   names ask [-t] [-e] SERVER NAME TYPE ... as resolvers do: all questions at once from one socket, A and AAAA
 *                                            of a name together, as Windows and musl have it; each over TCP
 *                                            with -t, with EDNS (RFC 6891) with -e
 *
 * Prints a line for each: what was asked, the response code ("NOANSWER": none came), the flags tc, aa and opt (the
 * response has EDNS), and what was found, sorted.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { QUESTIONS = 16, FOUND = 64, WIDTH = 256, PATIENCE = 20 /* seconds */ };

static const struct { const char *name; int number; } TYPES[] = {
    {"A", 1}, {"NS", 2}, {"CNAME", 5}, {"SOA", 6}, {"PTR", 12}, {"MX", 15}, {"TXT", 16}, {"AAAA", 28}, {"SRV", 33},
    {"HTTPS", 65}, {"ANY", 255},
};
static const char *const CODES[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

static char found[FOUND][WIDTH];
static int count;

static void keep(const char *text) {
    for (int i = 0; i < count; i++) if (!strcmp(found[i], text)) return;
    if (count < FOUND) snprintf(found[count++], WIDTH, "%s", text);
}

static int compare(const void *one, const void *other) { return strcmp(one, other); }

static void print_found(void) {
    qsort(found, count, WIDTH, compare);
    for (int i = 0; i < count; i++) printf(" %s", found[i]);
    putchar('\n');
    count = 0;
}

static int find(const char *name) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *all;
    char text[WIDTH];
    int error;
    if (!getaddrinfo(name, 0, &hints, &all)) {
        error = getnameinfo(all->ai_addr, all->ai_addrlen, text, sizeof text, 0, 0, NI_NAMEREQD);
        if (!error) keep(text);
    } else {
        hints.ai_flags = 0;
        error = getaddrinfo(name, 0, &hints, &all);
        for (struct addrinfo *one = error ? 0 : all; one; one = one->ai_next)
            if (!getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST)) keep(text);
    }
    printf("%s:", name);
    if (error) printf(" %s", gai_strerror(error));
    print_found();
    return error;
}

static int number_of(const char *type) {
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) if (!strcmp(TYPES[i].name, type)) return TYPES[i].number;
    fprintf(stderr, "names: unknown type %s\n", type);
    exit(2);
}

/* A query (RFC 1035, section 4.1), recursion desired. */
static int make(uint8_t *to, int id, const char *name, int type, int edns) {
    uint8_t *at = to;
    const uint8_t head[12] = {id >> 8, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns};
    memcpy(at, head, 12), at += 12;
    while (*name && strcmp(name, ".")) {
        size_t length = strcspn(name, ".");
        *at++ = length, memcpy(at, name, length), at += length;
        name += length + (name[length] == '.');
    }
    *at++ = 0, *at++ = type >> 8, *at++ = type, *at++ = 0, *at++ = 1;
    if (edns) { /* a payload of 1232 bytes */
        const uint8_t record[11] = {0, 0, 41, 1232 >> 8, 1232 & 255};
        memcpy(at, record, 11), at += 11;
    }
    return at - to;
}

/* The name at an offset, whose bytes may be elsewhere (section 4.1.4); returns the offset behind it, or -1. */
static int read_name(const uint8_t *data, int size, int at, char *to) {
    int behind = -1, length = 0;
    for (int steps = 0; at < size && steps < 128; steps++) {
        int here = data[at];
        if (here >= 192) {
            if (at + 1 >= size) return -1;
            if (behind < 0) behind = at + 2;
            at = (here & 63) << 8 | data[at + 1];
        } else if (!here) {
            to[length ? length - 1 : 0] = 0;
            return behind < 0 ? at + 1 : behind;
        } else {
            if (at + here >= size || length + here + 2 > WIDTH) return -1;
            memcpy(to + length, data + at + 1, here), length += here, to[length++] = '.';
            at += here + 1;
        }
    }
    return -1;
}

static void print_answer(const uint8_t *data, int size, const char *name, const char *type) {
    char text[WIDTH];
    int at = 12, code = data[3] & 15, opt = 0;
    for (int i = data[4] << 8 | data[5]; i > 0 && at > 0; i--)
        if ((at = read_name(data, size, at, text)) > 0) at += 4;
    int answers = data[6] << 8 | data[7], others = (data[8] << 8 | data[9]) + (data[10] << 8 | data[11]);
    for (int i = 0; i < answers + others && at > 0; i++) {
        if ((at = read_name(data, size, at, text)) < 0 || at + 10 > size) break;
        int kind = data[at] << 8 | data[at + 1], length = data[at + 8] << 8 | data[at + 9];
        at += 10;
        if (at + length > size) break;
        opt |= kind == 41;
        if (i < answers) {
            if (kind == 1) keep(inet_ntop(AF_INET, data + at, text, sizeof text));
            else if (kind == 28) keep(inet_ntop(AF_INET6, data + at, text, sizeof text));
            else if ((kind == 12 || kind == 5) && read_name(data, size, at, text) > 0) keep(text);
            else snprintf(text, sizeof text, "type%d", kind), keep(text);
        }
        at += length;
    }
    printf("%s %s ", name, type);
    if (code < 6) printf("%s", CODES[code]);
    else printf("code%d", code);
    printf("%s%s%s", data[2] & 2 ? " tc" : "", data[2] & 4 ? " aa" : "", opt ? " opt" : "");
    print_found();
}

static int connected(const char *server, int kind) {
    struct addrinfo hints = {.ai_socktype = kind, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *to;
    if (getaddrinfo(server, "53", &hints, &to)) {
        fprintf(stderr, "names: %s is no address\n", server);
        exit(2);
    }
    int one = socket(to->ai_family, kind, 0);
    struct timeval patience = {.tv_sec = PATIENCE};
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(one, to->ai_addr, to->ai_addrlen)) {
        perror("names: connect");
        close(one);
        return -1;
    }
    return one;
}

static int ask_by_tcp(const char *server, const uint8_t *query, int size, uint8_t *answer) {
    uint8_t framed[514] = {size >> 8, size}; /* section 4.2.2 */
    int one = connected(server, SOCK_STREAM), got = 0, wanted = 2;
    if (one < 0) return -1;
    memcpy(framed + 2, query, size);
    if (write(one, framed, size + 2) == size + 2)
        while (got < wanted) {
            ssize_t more = read(one, answer + got, wanted - got);
            if (more <= 0) break;
            got += more;
            if (got == 2) wanted = 2 + (answer[0] << 8 | answer[1]);
        }
    close(one);
    if (got < 14 || got < wanted) return -1;
    memmove(answer, answer + 2, got - 2);
    return got - 2;
}

static int ask(const char *server, int tcp, int edns, int pairs, char **words) {
    static uint8_t answers[QUESTIONS][65537], query[512], data[65536];
    int sizes[QUESTIONS] = {0}, left = pairs, base = time(0) & 0x7fff;
    int one = tcp ? -1 : connected(server, SOCK_DGRAM);
    for (int i = 0; i < pairs; i++) {
        int size = make(query, base + i, words[2 * i], number_of(words[2 * i + 1]), edns);
        if (tcp) sizes[i] = ask_by_tcp(server, query, size, answers[i]);
        else if (send(one, query, size, 0) < 0) perror("names: send");
    }
    for (time_t end = time(0) + PATIENCE; !tcp && left && time(0) < end;) {
        int size = recv(one, data, sizeof data, 0), i = (data[0] << 8 | data[1]) - base;
        if (size < 0) perror("names: receive"); /* nobody listens, or the time is over */
        else if (size >= 12 && i >= 0 && i < pairs && !sizes[i]) memcpy(answers[i], data, sizes[i] = size), left--;
    }
    left = 0;
    for (int i = 0; i < pairs; i++) {
        if (sizes[i] > 0) print_answer(answers[i], sizes[i], words[2 * i], words[2 * i + 1]);
        else printf("%s %s NOANSWER\n", words[2 * i], words[2 * i + 1]), left = 1;
    }
    return left;
}

int main(int argc, char **argv) {
    int failed = 0, tcp = 0, edns = 0, at = 2;
    if (argc > 2 && !strcmp(argv[1], "find")) {
        for (; at < argc; at++) failed |= find(argv[at]) != 0;
        return failed;
    }
    for (; at < argc && argv[at][0] == '-'; at++) {
        tcp |= argv[at][1] == 't';
        edns |= argv[at][1] == 'e';
    }
    int pairs = (argc - at - 1) / 2;
    if (argc < 3 || strcmp(argv[1], "ask") || pairs < 1 || pairs > QUESTIONS || (argc - at - 1) % 2) {
        fprintf(stderr, "usage: names find NAME|ADDRESS ... | names ask [-t] [-e] SERVER NAME TYPE ...\n");
        return 2;
    }
    return ask(argv[at], tcp, edns, pairs, argv + at + 1);
}

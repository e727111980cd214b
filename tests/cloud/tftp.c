/* A TFTP server for files of one packet (RFC 1350), without options: the files of the folder that is its argument. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(69)}, peer;
    char request[600], answer[516] = {0, 3, 0, 1};
    int server = socket(AF_INET, SOCK_DGRAM, 0);

    if (argc != 2 || chdir(argv[1]) || bind(server, (struct sockaddr *) &own, sizeof own))
        return 1;
    for (;;) {
        socklen_t length = sizeof peer;
        ssize_t size = recvfrom(server, request, sizeof request - 1, 0, (struct sockaddr *) &peer, &length);
        if (size < 4 || request[1] != 1)
            continue;
        request[size] = 0;
        int file = strchr(request + 2, '/') ? -1 : open(request + 2, O_RDONLY);
        if (file < 0)
            continue;
        size = read(file, answer + 4, sizeof answer - 5);
        close(file);
        sendto(server, answer, 4 + size, 0, (struct sockaddr *) &peer, length);
        puts(request + 2);
        fflush(stdout);
    }
}

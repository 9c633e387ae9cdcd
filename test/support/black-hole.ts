import { spawn } from 'node:child_process';
import { once } from 'node:events';

// A listening socket that nobody accepts from, its queue filled by the program itself: the kernel
// then drops every further SYN, as a firewall does.
const PROGRAM = `
import socket, sys
server = socket.socket()
server.bind((sys.argv[1], int(sys.argv[2])))
server.listen(0)
fillers = []
for _ in range(4):
    filler = socket.socket()
    filler.setblocking(False)
    try:
        filler.connect(server.getsockname())
    except BlockingIOError:
        pass
    fillers.append(filler)
print("ready", flush=True)
sys.stdin.read()
`;

/** An address and port where connecting hangs, until `close`. */
export interface BlackHole {
  close(): Promise<void>;
}

/**
 * Opens one.
 *
 * @param python path of a Python 3 interpreter
 */
export async function openBlackHole(
  python: string,
  host: string,
  port: number,
): Promise<BlackHole> {
  const child = spawn(python, ['-c', PROGRAM, host, String(port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    close: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}

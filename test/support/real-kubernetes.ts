import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const RESOURCES: Readonly<Record<string, string>> = {
  ServiceAccount: 'serviceaccounts',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  CronJob: 'cronjobs',
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
};

const OF_THE_CLUSTER: ReadonlySet<string> = new Set([
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
]);

/**
 * A real Kubernetes API server over a real etcd, without nodes: objects, validation and RBAC are
 * real, and pods do not run.
 */
export class RealKubernetes {
  readonly dir: string;
  readonly port: number;
  readonly #adminToken = randomUUID();
  readonly #children: ChildProcess[] = [];
  #ca: Buffer | undefined;

  private constructor(dir: string, port: number) {
    this.dir = dir;
    this.port = port;
  }

  /** @param programs paths of `etcd` and `kube-apiserver` */
  static async start(programs: { etcd: string; apiServer: string }): Promise<RealKubernetes> {
    const dir = await mkdtemp(path.join(tmpdir(), 'waxseal-real-kubernetes-'));
    const kubernetes = new RealKubernetes(dir, await freePort());
    try {
      await kubernetes.#start(programs);
      return kubernetes;
    } catch (error) {
      await kubernetes.stop();
      throw error;
    }
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  get caFile(): string {
    return path.join(this.dir, 'certificates', 'apiserver.crt');
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    }
    await rm(this.dir, { recursive: true, force: true });
  }

  /** As an administrator. */
  async request(method: string, where: string, body?: unknown, token: string = this.#adminToken) {
    this.#ca ??= await readFile(this.caFile);
    const ca = this.#ca;
    return await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const request = https.request(
        `${this.url}${where}`,
        {
          method,
          ca,
          agent: false,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        },
        (response) => {
          let text = '';
          response.on('data', (chunk) => {
            text += String(chunk);
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async makeNamespace(name: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
    await this.#mustBe(201, 'POST', '/api/v1/namespaces', body);
  }

  /** Makes the accounts and rights that the chart renders. */
  async applyRights(helm: string, namespace: string, values: Record<string, string>) {
    const chart = new URL('../../helm/waxseal', import.meta.url).pathname;
    const sets = Object.entries(values).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
    const version = ['--kube-version', '1.36.0'];
    const args = ['template', 'relay', chart, '--namespace', namespace, ...version, ...sets];
    const { stdout } = await run(helm, args);
    for (const document of parseAllDocuments(stdout)) {
      const manifest = document.toJS() as Manifest;
      const { apiVersion, kind, metadata } = manifest;
      const resource = RESOURCES[kind];
      if (resource === undefined) continue;
      const group = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
      const inNamespace = `/namespaces/${metadata.namespace ?? namespace}`;
      const where = OF_THE_CLUSTER.has(kind) ? '' : inNamespace;
      await this.#mustBe(201, 'POST', `${group}${where}/${resource}`, manifest);
    }
  }

  /** A token as a pod of that account has it. @returns the file that it stands in */
  async tokenFile(namespace: string, account: string): Promise<string> {
    const where = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
    const text = await this.#mustBe(201, 'POST', where, body);
    const folder = path.join(this.dir, `${namespace}-${account}`);
    await mkdir(folder, { recursive: true });
    const { token } = (JSON.parse(text) as { status: { token: string } }).status;
    await writeFile(path.join(folder, 'token'), token);
    await writeFile(path.join(folder, 'namespace'), namespace);
    return path.join(folder, 'token');
  }

  async #mustBe(status: number, method: string, where: string, body: unknown): Promise<string> {
    const answer = await this.request(method, where, body);
    if (answer.status === status) return answer.text;
    throw new Error(`${method} ${where} was answered ${answer.status}: ${answer.text}`);
  }

  async #start({ etcd, apiServer }: { etcd: string; apiServer: string }): Promise<void> {
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const etcdUrl = `http://127.0.0.1:${clientPort}`;
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    this.#spawn(etcd, [
      `--data-dir=${path.join(this.dir, 'etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
    ]);
    const key = path.join(this.dir, 'accounts.pem');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const tokens = path.join(this.dir, 'tokens.csv');
    await writeFile(tokens, `${this.#adminToken},admin,admin,system:masters\n`, { mode: 0o600 });
    const child = this.#spawn(apiServer, [
      `--etcd-servers=${etcdUrl}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${this.port}`,
      `--cert-dir=${path.join(this.dir, 'certificates')}`,
      '--authorization-mode=RBAC',
      `--token-auth-file=${tokens}`,
      `--service-account-key-file=${key}`,
      `--service-account-signing-key-file=${key}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--service-cluster-ip-range=10.0.0.0/24',
      '--endpoint-reconciler-type=none',
    ]);
    await waitFor(
      'the API server',
      async () => {
        if (child.exitCode !== null) return true;
        return (await this.request('GET', '/readyz')).status === 200;
      },
      120_000,
    );
    if (child.exitCode !== null) throw new Error(`the API server ended with ${child.exitCode}`);
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const child = spawn(program, args, { cwd: this.dir, stdio: 'ignore' });
    this.#children.push(child);
    return child;
  }
}

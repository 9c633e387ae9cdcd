import type { RouteSetting, SmarthostSetting, TlsSetting } from './config.ts';
import { toDomain } from './network-formats.ts';

/** What the machine says about itself. */
export interface SystemDefaults {
  readonly hostName: string;
  readonly temporaryDirectory: string;
}

type PartialHop = Omit<SmarthostSetting, 'tls' | 'credentials'> & Partial<SmarthostSetting>;

/** Fills in the defaults that come from the machine or from another setting. */
export function deriveDefaults(values: Map<string, unknown>, system: SystemDefaults): void {
  if (values.get('server.name') === '') {
    values.set('server.name', toDomain(system.hostName) ?? 'localhost');
  }
  if (values.get('relay.ehloName') === '') values.set('relay.ehloName', values.get('server.name'));
  if (values.get('spool.dir') === '') values.set('spool.dir', system.temporaryDirectory);

  const tls = values.get('relay.tls') as TlsSetting;
  const complete = <Hop extends PartialHop>(hop: Hop) => ({
    ...hop,
    tls: hop.tls ?? tls,
    credentials: hop.credentials,
  });
  const smarthost = values.get('smarthost') as PartialHop | null;
  if (smarthost !== null) values.set('smarthost', complete(smarthost));
  const routes = values.get('route') as readonly (PartialHop & Pick<RouteSetting, 'domains'>)[];
  values.set('route', routes.map(complete));
}

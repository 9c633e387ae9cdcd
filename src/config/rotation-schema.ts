import type convict from 'convict';
import type { Config, RotationHabits } from './config.ts';
import { type Format, listFormat, scalarFormat } from './format.ts';
import { type Field, parseInline, recordFormat, routeDomains } from './route-formats.ts';
import { directory, milliseconds, oneOf, onOff } from './scalar-formats.ts';
import { setting } from './setting.ts';

const MAX_DAYS = 3650;

/** Days, fractions too. */
function days(least: number, most: number): Format {
  return scalarFormat({
    name: `days ${least} to ${most}`,
    description: `days, ${least} to ${most} (fractions too)`,
    parse: (written) => (/^\d{1,6}(\.\d{1,12})?$/.test(written) ? Number(written) : written),
    check: (value) =>
      typeof value === 'number' && value >= least && value <= most
        ? undefined
        : `must be a number of days from ${least} to ${most}`,
  });
}

const formats = {
  rotateAfterDays: days(0, MAX_DAYS),
  retireAfterDays: days(0, MAX_DAYS),
  removeAfterDays: days(0, MAX_DAYS),
  queueLifetimeDays: days(0, 365),
  authLagMs: milliseconds(0, 86_400_000),
  standby: onOff,
  names: oneOf('dated', 'slots'),
} as const satisfies Readonly<Record<keyof RotationHabits, Format>>;

const optional = Object.fromEntries(
  Object.entries(formats).map(([name, format]): [string, Field] => [
    name,
    { format, required: false },
  ]),
);

const overrides: Format = {
  ...listFormat(
    recordFormat('rotation of some domains', {
      domains: { format: routeDomains, required: true },
      ...optional,
    }),
  ),
  name: 'rotation overrides',
  description: `list of \`{domains, ${Object.keys(formats).join(', ')}}\``,
  parse: parseInline,
};

/** How keys are rotated. */
export const rotationSchema: convict.Schema<Config['keys']['rotation']> = {
  rotateAfterDays: setting(
    formats.rotateAfterDays,
    180,
    'Age of an active key at which `waxseal keys rotate --due` makes its successor.',
  ),
  retireAfterDays: setting(
    formats.retireAfterDays,
    7,
    'How long the DNS record of a succeeded key stays, counted from the activation of its successor and the time for which a relay may go on without the keyring. At least `queueLifetimeDays` and the TTL of the record, since mail that the old key signed is still under way.',
  ),
  removeAfterDays: setting(
    formats.removeAfterDays,
    30,
    'How long a withdrawn key (empty `p=`) stays in DNS before its record is removed and its private half destroyed.',
  ),
  queueLifetimeDays: setting(
    formats.queueLifetimeDays,
    5,
    'How long mail may wait in the queues of other servers (RFC 5321 section 4.5.4.1 says 4 to 5 days).',
  ),
  authLagMs: setting(
    formats.authLagMs,
    300_000,
    'How long a new key waits before it is activated where no relay reports whether it can use it: permissions of a KMS spread slowly.',
  ),
  standby: setting(
    formats.standby,
    false,
    'Keep the next keys of each domain published and verified, ready for an emergency.',
  ),
  names: setting(
    formats.names,
    'dated',
    'Names of new selectors: `dated` (`wx202611r1`, never used again) or `slots` (`wxr1` to `wxr3` and `wxe1` to `wxe3`, used in turn) for domains that delegate each selector by CNAME.',
  ),
  reveal: setting(
    directory,
    '',
    'Directory into which revoked private keys are written by `--reveal`, so that old signatures prove nothing any more. Empty: never.',
  ),
  domains: setting(
    overrides,
    [],
    'Other habits for some domains, written like routes: `domains` as there, and any of the settings above but `reveal`.',
  ),
};

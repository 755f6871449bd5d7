import type { ReactNode } from "react";

interface IconProps {
  readonly className?: string;
}

/** 24 by 24, drawn by strokes. They stand beside words and say nothing of their own. */
const icon = (paths: ReactNode) =>
  function Icon({ className = "size-4" }: IconProps): ReactNode {
    return (
      <svg
        viewBox="0 0 24 24"
        fill="none"
        stroke="currentColor"
        strokeWidth={1.75}
        strokeLinecap="round"
        strokeLinejoin="round"
        className={`shrink-0 ${className}`}
        aria-hidden="true"
      >
        {paths}
      </svg>
    );
  };

export const OverviewIcon = icon(<path d="M4 19V5M4 19h16M8 15l3.5-4 3 2.5L20 7" />);
export const SessionsIcon = icon(<path d="M4 6h10M4 12h16M4 18h7M18 6h2M15 18h5" />);
export const LogsIcon = icon(
  <path d="M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1ZM8 9h8M8 13h8M8 17h4" />,
);
export const InspectorIcon = icon(
  <>
    <circle cx="11" cy="11" r="6.5" />
    <path d="m16 16 4.5 4.5" />
  </>,
);
export const SettingsIcon = icon(
  <>
    <path d="M4 7h9M19 7h1M4 17h1M11 17h9" />
    <circle cx="16" cy="7" r="2.5" />
    <circle cx="8" cy="17" r="2.5" />
  </>,
);
export const CallIcon = icon(
  <path d="M6.5 3.5h3l1.4 4-2 1.6a12.5 12.5 0 0 0 6 6l1.6-2 4 1.4v3a2 2 0 0 1-2.2 2A16.3 16.3 0 0 1 4.5 5.7a2 2 0 0 1 2-2.2Z" />,
);
export const TextIcon = icon(
  <path d="M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-7l-4.5 4v-4H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z" />,
);
export const CloseIcon = icon(<path d="M6 6l12 12M18 6 6 18" />);
export const CheckIcon = icon(<path d="m5 12.5 4.5 4.5L19 7.5" />);
export const ChevronIcon = icon(<path d="m7 10 5 5 5-5" />);
export const BackIcon = icon(<path d="M14.5 6 9 12l5.5 6" />);
export const CopyIcon = icon(
  <path d="M9 9h10a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1V9ZM15 9V5a1 1 0 0 0-1-1H5a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h4" />,
);
export const ResendIcon = icon(<path d="M20 12a8 8 0 1 1-2.4-5.7M20 4v4h-4" />);
export const EraseIcon = icon(
  <path d="M4 7h16M10 11v6M14 11v6M6 7l1 12a1 1 0 0 0 1 1h8a1 1 0 0 0 1-1l1-12M9 7V4h6v3" />,
);
export const DownloadIcon = icon(<path d="M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14" />);
export const PlayIcon = icon(<path d="M8 5.5v13l10.5-6.5L8 5.5Z" fill="currentColor" />);
export const PauseIcon = icon(<path d="M8.5 5.5v13M15.5 5.5v13" strokeWidth={3} />);
export const PlusIcon = icon(<path d="M12 5v14M5 12h14" />);
export const WarnIcon = icon(<path d="M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17.2v.1" />);
export const SunIcon = icon(
  <>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1" />
  </>,
);
export const MoonIcon = icon(<path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z" />);
export const ScreenIcon = icon(<path d="M4 5h16v11H4zM9 20h6M12 16v4" />);
export const SignOutIcon = icon(
  <path d="M14 5H6a1 1 0 0 0-1 1v12a1 1 0 0 0 1 1h8M11 12h9.5M17 8.5l3.5 3.5-3.5 3.5" />,
);

export const PersonIcon = icon(
  <>
    <circle cx="12" cy="8.5" r="3.5" />
    <path d="M5 19.5c1.2-3.4 4-5 7-5s5.8 1.6 7 5" />
  </>,
);

export function Mark({ className = "size-7" }: IconProps): ReactNode {
  return (
    <svg viewBox="0 0 32 32" className={`shrink-0 ${className}`} aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#4554d6" />
      <path d="M8 11h9M8 16h13M8 21h6" stroke="#fff" strokeWidth="2.6" strokeLinecap="round" />
      <circle cx="23" cy="21" r="2.6" fill="#fff" />
    </svg>
  );
}

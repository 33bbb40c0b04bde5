export type Opened = 1;
